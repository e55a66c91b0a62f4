//! One run: a plan is carried out on a stage under load, everything is given time to end, and the ledgers are compared.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::sync::watch;

use super::fault::{Fault, Target, Trap};
use super::invariants::{self, Findings};
use super::ledgers::Ledgers;
use super::plan::{Company, Place, Plan, Point, REVOKE_SEEN, Step};
use super::proxy::Answer;
use super::publisher::{Published, publish};
use super::report::{Report, Verdict};
use super::stage::{Arms, Seat, Stage};
use crate::client::{Client, DOMAIN};
use crate::house::{GROUP, PARTITIONS};
use crate::program::HostProgram;

/// How long a planned thing may take to happen before it is tried once more, and then given up.
const HAPPENS_WITHIN: Duration = Duration::from_secs(30);

/// How long all may take to be settled after the last fault.
const DRAINED_WITHIN: Duration = Duration::from_secs(90);

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// Carries out the plan of a seed. `program` is a host with failpoints.
pub async fn run(seed: u64, program: &Path) -> Report {
    let began = Instant::now();
    let plan = Plan::of(seed);
    let mut run = Run::open(program, plan.company).await;
    let outcome = run.play(&plan, seed).await;
    let (findings, verdict) = match outcome {
        Ok(findings) if findings.violations.is_empty() => (findings, Verdict::Held),
        Ok(findings) => (findings, Verdict::Violated),
        Err(error) => {
            let violations = vec![format!("{error:#}")];
            (Findings { violations, ..Findings::default() }, Verdict::DoesNotCount)
        }
    };
    let Run { stage, faults, kills, main, companion, .. } = run;
    drop((main, companion));
    Report {
        seed,
        hosts: if plan.company == Company::Alone { 1 } else { 2 },
        faults,
        kills,
        totals: findings.totals,
        seconds: began.elapsed().as_secs(),
        verdict,
        violations: findings.violations,
        kept: (verdict != Verdict::Held).then(|| stage.keep()),
    }
}

struct Run {
    stage: Stage,
    company: Company,
    main: Option<HostProgram>,
    companion: Option<HostProgram>,
    faults: Vec<String>,
    kills: u32,
    disruptions: u64,
}

impl Run {
    async fn open(program: &Path, company: Company) -> Self {
        let stage = Stage::open(program).await;
        Self { stage, company, main: None, companion: None, faults: Vec::new(), kills: 0, disruptions: 0 }
    }

    async fn play(&mut self, plan: &Plan, seed: u64) -> anyhow::Result<Findings> {
        self.main();
        if self.company == Company::Shared {
            self.companion();
        }
        let client = self.stage.client().await;
        self.topics_exist(&client).await?;
        let (stop, stopped) = watch::channel(false);
        let publisher = tokio::spawn(publish(stopped, client.clone(), seed));
        for step in &plan.steps {
            note(&step.name())?;
            self.step(step).await.with_context(|| step.name())?;
            self.faults.push(step.name());
        }
        note("drain")?;
        stop.send_replace(true);
        let published = publisher.await.context("the publisher failed")?;
        self.drain(&client).await?;
        Ok(self.compare(&client, published).await)
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        self.disruptions += 1;
        match step {
            Step::Kill(point, nth) => self.kill(*point, *nth).await,
            Step::Stop(point, nth) => self.stop(*point, *nth).await,
            Step::Freeze(point, nth) => self.freeze(*point, *nth).await,
            Step::Way(trap) => self.obstruct(trap).await,
            Step::BrokerRestart => {
                self.main_at_work().await?;
                self.stage.broker.kill();
                self.stage.broker.start_again().await;
                self.work_goes_on().await
            }
        }
    }

    async fn kill(&mut self, point: Point, nth: u32) -> anyhow::Result<()> {
        match point.place {
            Place::Unanswered(topic) => self.kill_unanswered(topic, nth).await,
            Place::Inside(failpoint) if point.name == REVOKE_SEEN => self.kill_on_revoke(failpoint).await,
            Place::Inside(failpoint) => {
                // A place that is rarely passed is waited for at its first passage, the second time.
                for nth in [nth, 1] {
                    let fired = self.stage.fired();
                    let mut host = self.armed(Arms { failpoint, nth, signal: "kill" });
                    if within(HAPPENS_WITHIN, async || host.has_ended()).await {
                        ensure!(self.stage.fired() > fired, "it ended by itself: {}", host.log());
                        self.kills += 1;
                        return Ok(());
                    }
                    self.kill_host(host);
                }
                anyhow::bail!("the failpoint never fired")
            }
        }
    }

    async fn kill_unanswered(&mut self, topic: Option<&str>, nth: u32) -> anyhow::Result<()> {
        let target = topic.map_or(Target::Store, |topic| Target::Publish(topic.to_owned()));
        self.main_at_work().await?;
        for nth in [nth, 1] {
            let trap = Trap { target: target.clone(), nth, fault: Fault::HoldAnswer };
            let mut sprung = self.stage.way(Seat::Main).set(trap);
            if tokio::time::timeout(HAPPENS_WITHIN, sprung.wait()).await.is_ok() {
                self.kill_main();
                return Ok(());
            }
        }
        anyhow::bail!("no such request came")
    }

    /// A member sees its partitions go when another one comes.
    async fn kill_on_revoke(&mut self, failpoint: &'static str) -> anyhow::Result<()> {
        if let Some(companion) = self.companion.take() {
            self.kill_host(companion);
        }
        let mut host = self.armed(Arms { failpoint, nth: 1, signal: "kill" });
        ensure!(
            within(HAPPENS_WITHIN, async || partitions(&host) == PARTITIONS).await,
            "it holds no partitions"
        );
        self.companion();
        ensure!(within(HAPPENS_WITHIN, async || host.has_ended()).await, "the failpoint never fired");
        self.kills += 1;
        if self.company == Company::Alone
            && let Some(companion) = self.companion.take()
        {
            self.kill_host(companion);
        }
        Ok(())
    }

    async fn stop(&mut self, point: Point, nth: u32) -> anyhow::Result<()> {
        let Place::Inside(failpoint) = point.place else { anyhow::bail!("not a place inside of a host") };
        for nth in [nth, 1] {
            let mut host = self.armed(Arms { failpoint, nth, signal: "term" });
            if within(HAPPENS_WITHIN, async || host.has_ended()).await {
                let ended = host.ended().await;
                ensure!(ended.code == Some(0), "it ended with {:?}: {}", ended.code, ended.log);
                return Ok(());
            }
            self.kill_host(host);
        }
        anyhow::bail!("the failpoint never fired")
    }

    /// A frozen host is taken for dead; when it goes on, it must not harm what others have done meanwhile.
    async fn freeze(&mut self, point: Point, nth: u32) -> anyhow::Result<()> {
        let Place::Inside(failpoint) = point.place else { anyhow::bail!("not a place inside of a host") };
        if self.companion.is_none() {
            self.companion();
        }
        let fired = self.stage.fired();
        let mut host = self.armed(Arms { failpoint, nth, signal: "stop" });
        if !within(HAPPENS_WITHIN, async || self.stage.fired() > fired).await {
            self.kill_host(host);
            host = self.armed(Arms { failpoint, nth: 1, signal: "stop" });
            ensure!(
                within(HAPPENS_WITHIN, async || self.stage.fired() > fired).await,
                "the failpoint never fired"
            );
        }
        let companion = self.companion.as_ref().context("there is a companion")?;
        let taken = within(HAPPENS_WITHIN, async || partitions(companion) == PARTITIONS).await;
        host.signal(Signal::CONT);
        ensure!(taken, "nobody took over from the frozen host");
        ensure!(within(HAPPENS_WITHIN, async || partitions(&host) > 0).await, "it never came back");
        ensure!(!host.has_ended(), "it ended when it went on: {}", host.log());
        self.main = Some(host);
        if self.company == Company::Alone
            && let Some(companion) = self.companion.take()
        {
            self.kill_host(companion);
        }
        Ok(())
    }

    async fn obstruct(&mut self, trap: &Trap) -> anyhow::Result<()> {
        self.main_at_work().await?;
        for nth in [trap.nth, 1] {
            let mut sprung = self.stage.way(Seat::Main).set(Trap { nth, ..trap.clone() });
            if tokio::time::timeout(HAPPENS_WITHIN, sprung.wait()).await.is_ok() {
                return self.work_goes_on().await;
            }
        }
        anyhow::bail!("no such request came")
    }

    /// Waits until a commit of the main host passes that was not there before.
    async fn work_goes_on(&mut self) -> anyhow::Result<()> {
        let way = self.stage.way(Seat::Main);
        let stored = || way.commits().iter().filter(|commit| commit.answer == Some(Answer::Stored)).count();
        let (before, main) = (stored(), self.main.as_mut().context("there is a main host")?);
        let goes_on = within(DRAINED_WITHIN, async || stored() > before || main.has_ended()).await;
        ensure!(!main.has_ended(), "the host ended by itself: {}", main.log());
        ensure!(goes_on, "nothing was committed any more");
        Ok(())
    }

    /// Sees to it that the main host lives and has come to work: one that cannot reach the broker at its start gives
    /// up, as it should.
    async fn main_at_work(&mut self) -> anyhow::Result<()> {
        self.main();
        self.work_goes_on().await
    }

    async fn topics_exist(&self, client: &Client) -> anyhow::Result<()> {
        let exist = client.count(DOMAIN);
        tokio::time::timeout(DRAINED_WITHIN, exist).await.context("the host made no topics")?;
        Ok(())
    }

    /// I-9: once nothing goes wrong any more, everything is settled and committed, and the hosts end in order.
    async fn drain(&mut self, client: &Client) -> anyhow::Result<()> {
        self.stage.way(Seat::Main).heal();
        self.stage.way(Seat::Companion).heal();
        self.main();
        let drained = within(DRAINED_WITHIN, async || {
            let committed = client.stored_offsets(GROUP).await;
            committed.values().map(|offset| offset.0 + 1).sum::<u64>() == client.count(DOMAIN).await
        });
        ensure!(drained.await, "I-9: not everything was settled within {DRAINED_WITHIN:?}");
        for host in [self.main.take(), self.companion.take()].into_iter().flatten() {
            let ended = host.stop().await;
            ensure!(ended.code == Some(0), "a host ended with {:?}: {}", ended.code, ended.log);
        }
        Ok(())
    }

    async fn compare(&self, client: &Client, published: Published) -> Findings {
        let mut commits = self.stage.way(Seat::Main).commits();
        commits.extend(self.stage.way(Seat::Companion).commits());
        let ledgers = Ledgers::read(client, published, &self.stage.logs(), commits).await;
        invariants::check(&ledgers, self.disruptions)
    }

    /// Sees to it that the main host lives.
    fn main(&mut self) {
        let lives = self.main.as_mut().is_some_and(|host| !host.has_ended());
        if !lives {
            self.main = Some(self.stage.start(Seat::Main, None));
        }
    }

    fn companion(&mut self) {
        self.companion = Some(self.stage.start(Seat::Companion, None));
    }

    /// A new life of the main host, with a failpoint; the old one is killed wherever it is.
    fn armed(&mut self, arms: Arms) -> HostProgram {
        self.kill_main();
        self.stage.start(Seat::Main, Some(&arms))
    }

    fn kill_main(&mut self) {
        if let Some(host) = self.main.take() {
            self.kill_host(host);
        }
    }

    fn kill_host(&mut self, mut host: HostProgram) {
        if !host.has_ended() {
            host.kill();
            self.kills += 1;
            self.disruptions += 1;
        }
    }
}

fn partitions(host: &HostProgram) -> u64 {
    host.counters().map_or(0, |counters| counters.partitions)
}

/// What happens now, for those who watch.
fn note(what: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "  {what}")
}

async fn within(time: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !holds().await {
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(GLANCE).await;
    }
    true
}
