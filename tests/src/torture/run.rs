//! One run: a plan is carried out on a stage under load, everything is given time to end, and the ledgers are compared.

mod surroundings;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::sync::watch;

use super::fault::{Fault, Target, Trap};
use super::hardship::Hardship;
use super::invariants::{self, Findings};
use super::ledgers::{Disruption, Ledgers};
use super::plan::{Company, Moment, Place, Plan, Point, REVOKE_SEEN, Step};
use super::proxy::{Answer, Proxy, micros};
use super::publisher::{Published, publish};
use super::report::{Report, Verdict};
use super::stage::{Arms, Seat, Stage};
use super::vigil;
use crate::client::{Client, DOMAIN};
use crate::house::{GROUP, PARTITIONS};
use crate::program::HostProgram;

/// How long a planned thing may take to happen before it is tried once more, and then given up.
const HAPPENS_WITHIN: Duration = Duration::from_secs(30);

/// How long a host may take to come to work after a fault.
const WORKS_WITHIN: Duration = Duration::from_secs(90);

/// How long nothing more may be committed before everything is.
const MOVES_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// How runs are made.
#[derive(Debug)]
pub struct Manner {
    /// A host with failpoints.
    pub program: PathBuf,
    /// The hardships that this machine permits and somebody wants.
    pub hardships: Vec<Hardship>,
    /// How long hosts are left alone before each step.
    pub peace: Duration,
}

/// Carries out the plan of a seed.
pub async fn run(seed: u64, manner: &Manner) -> Report {
    let began = Instant::now();
    let plan = Plan::of(seed, &manner.hardships);
    let mut run = Run::open(manner, &plan).await;
    let outcome = run.play(&plan, seed, manner.peace).await;
    let (health, untrue) = vigil::judge(&run.stage.watcher().readings());
    let (findings, verdict) = match outcome {
        Ok(mut findings) => {
            findings.violations.extend(untrue);
            let verdict = if findings.violations.is_empty() { Verdict::Held } else { Verdict::Violated };
            (findings, verdict)
        }
        Err(error) => {
            let violations = std::iter::once(format!("{error:#}")).chain(untrue).collect();
            (Findings { violations, ..Findings::default() }, Verdict::DoesNotCount)
        }
    };
    let Run { stage, faults, hardships, kills, main, companion, .. } = run;
    drop((main, companion));
    Report {
        seed,
        hosts: if plan.company == Company::Alone { 1 } else { 2 },
        faults,
        hardships,
        health,
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
    hardships: BTreeMap<&'static str, u32>,
    kills: u32,
    disruptions: Vec<Disruption>,
    /// When nobody read the log of a host.
    log_gaps: Vec<Disruption>,
}

impl Run {
    async fn open(manner: &Manner, plan: &Plan) -> Self {
        Self {
            stage: Stage::open(&manner.program, plan, &manner.hardships).await,
            company: plan.company,
            main: None,
            companion: None,
            faults: Vec::new(),
            hardships: BTreeMap::new(),
            kills: 0,
            disruptions: Vec::new(),
            log_gaps: Vec::new(),
        }
    }

    async fn play(&mut self, plan: &Plan, seed: u64, peace: Duration) -> anyhow::Result<Findings> {
        self.main();
        if self.company == Company::Shared {
            self.companion();
        }
        let client = self.stage.client().await;
        self.topics_exist(&client).await?;
        let (stop, stopped) = watch::channel(false);
        let publisher = tokio::spawn(publish(stopped, client.clone(), seed));
        for step in &plan.steps {
            // How long hosts are left alone is what is asked for; nothing is synchronised by it.
            tokio::time::sleep(peace).await;
            if step.needs_own_broker() && !self.stage.has_own_broker() {
                note(&format!("LEFT OUT: {}: the server is not ours", step.name()))?;
                continue;
            }
            note(&step.name())?;
            self.step(step).await.with_context(|| step.name())?;
            self.faults.push(step.name());
            *self.hardships.entry(step.kind()).or_default() += 1;
        }
        note("drain")?;
        stop.send_replace(true);
        let published = publisher.await.context("the publisher failed")?;
        self.drain(&client).await?;
        self.compare(&client, published, plan).await
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        let from_micros = micros();
        self.carry_out(step).await?;
        let until_micros = micros();
        // A kill is over at once, whatever it took to get there.
        let from_micros = if matches!(step, Step::Kill(_)) { until_micros } else { from_micros };
        self.disruptions.push(Disruption { from_micros, until_micros });
        Ok(())
    }

    async fn carry_out(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Kill(moment) => self.kill(*moment).await,
            Step::Stop(moment) => self.stop(*moment).await,
            Step::Freeze(moment) => self.freeze(*moment).await,
            Step::Split => self.split().await,
            Step::Way(trap) => self.obstruct(trap).await,
            Step::BrokerRestart => {
                self.main_at_work().await?;
                self.stage.restart_broker().await;
                self.work_goes_on(1).await
            }
            Step::Log(fault) => self.log_fails(*fault).await,
            Step::Disk(owner, lasts) => self.disk_is_full(*owner, *lasts).await,
            Step::Clock(owner, lasts) => self.clock_leaps(*owner, *lasts).await,
            Step::Files(lasts) => self.files_run_out(*lasts).await,
            Step::Memory => self.memory_is_little().await,
        }
    }

    async fn kill(&mut self, moment: Moment) -> anyhow::Result<()> {
        match moment.point.place {
            Place::Unanswered(topic) => self.kill_unanswered(topic, moment).await,
            Place::Inside(failpoint) if moment.point.name == REVOKE_SEEN => {
                self.kill_on_revoke(failpoint).await
            }
            Place::Inside(failpoint) => {
                // A place that is rarely passed is waited for at its first passage, the second time.
                for nth in [moment.nth, 1] {
                    let fired = self.stage.fired();
                    let arms = Arms { failpoint, nth, signal: "kill" };
                    let mut host = self.armed_after(moment.commits, arms).await?;
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

    async fn kill_unanswered(&mut self, topic: Option<&str>, moment: Moment) -> anyhow::Result<()> {
        let target = topic.map_or(Target::Store, |topic| Target::Publish(topic.to_owned()));
        self.main();
        self.work_goes_on(moment.commits.max(1)).await?;
        for nth in [moment.nth, 1] {
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
        self.stage.go();
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

    async fn stop(&mut self, moment: Moment) -> anyhow::Result<()> {
        let failpoint = inside(moment.point)?;
        for nth in [moment.nth, 1] {
            let arms = Arms { failpoint, nth, signal: "term" };
            let mut host = self.armed_after(moment.commits, arms).await?;
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
    async fn freeze(&mut self, moment: Moment) -> anyhow::Result<()> {
        let failpoint = inside(moment.point)?;
        if self.companion.is_none() {
            self.companion();
        }
        let fired = self.stage.fired();
        let arms = Arms { failpoint, nth: moment.nth, signal: "stop" };
        let mut host = self.armed_after(moment.commits, arms).await?;
        if !within(HAPPENS_WITHIN, async || self.stage.fired() > fired).await {
            self.kill_host(host);
            host = self.armed_after(0, Arms { nth: 1, ..arms }).await?;
            ensure!(
                within(HAPPENS_WITHIN, async || self.stage.fired() > fired).await,
                "the failpoint never fired"
            );
        }
        self.stage.watcher().excuse();
        let taken = self.companion_has_all().await;
        host.signal(Signal::CONT);
        self.stage.watcher().expect();
        ensure!(taken, "nobody took over from the frozen host");
        self.main = Some(host);
        self.main_comes_back().await
    }

    /// A host that cannot reach the broker is taken for dead as well, and goes on with what it has.
    async fn split(&mut self) -> anyhow::Result<()> {
        if self.companion.is_none() {
            self.companion();
        }
        self.main_at_work().await?;
        let dark = Fault::BlackHole(WORKS_WITHIN);
        let mut sprung = self.stage.way(Seat::Main).set(Trap { target: Target::Any, nth: 1, fault: dark });
        let is_dark = tokio::time::timeout(HAPPENS_WITHIN, sprung.wait()).await.is_ok();
        let taken = self.companion_has_all().await;
        self.stage.way(Seat::Main).heal();
        ensure!(is_dark && taken, "nobody took over from the host that was split off");
        self.main_comes_back().await
    }

    async fn companion_has_all(&self) -> bool {
        let Some(companion) = &self.companion else { return false };
        within(self.stage.taken_over_within(), async || partitions(companion) == PARTITIONS).await
    }

    /// The main host has partitions again after all of them went to the companion, which goes where it is not wanted.
    async fn main_comes_back(&mut self) -> anyhow::Result<()> {
        let host = self.main.as_mut().context("there is a main host")?;
        let way = self.stage.way(Seat::Main);
        progress(host, way, 1).await?;
        ensure!(within(HAPPENS_WITHIN, async || partitions(host) > 0).await, "it never came back");
        ensure!(!host.has_ended(), "it ended when it went on: {}", host.log());
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
                return self.work_goes_on(1).await;
            }
        }
        anyhow::bail!("no such request came")
    }

    /// Waits until so many commits of the main host pass that were not there before.
    async fn work_goes_on(&mut self, commits: usize) -> anyhow::Result<()> {
        let main = self.main.as_mut().context("there is a main host")?;
        progress(main, self.stage.way(Seat::Main), commits).await
    }

    /// Sees to it that the main host lives and has come to work: one that cannot reach the broker at its start gives
    /// up, as it should.
    async fn main_at_work(&mut self) -> anyhow::Result<()> {
        self.main();
        self.work_goes_on(1).await
    }

    async fn topics_exist(&self, client: &Client) -> anyhow::Result<()> {
        let exist = client.count(DOMAIN);
        tokio::time::timeout(WORKS_WITHIN, exist).await.context("the host made no topics")?;
        Ok(())
    }

    /// I-9: once nothing goes wrong any more, everything is settled and committed, and the hosts end in order.
    async fn drain(&mut self, client: &Client) -> anyhow::Result<()> {
        self.stage.way(Seat::Main).heal();
        self.stage.way(Seat::Companion).heal();
        self.main();
        let (mut committed, mut moved) = (0, Instant::now());
        while committed < client.count(DOMAIN).await {
            ensure!(
                moved.elapsed() < MOVES_WITHIN,
                "I-9: {committed} are settled, and no more within {MOVES_WITHIN:?}"
            );
            tokio::time::sleep(GLANCE).await;
            let now = client.stored_offsets(GROUP).await.values().map(|offset| offset.0 + 1).sum::<u64>();
            if now > committed {
                (committed, moved) = (now, Instant::now());
            }
        }
        for host in [self.main.take(), self.companion.take()].into_iter().flatten() {
            let ended = host.stop().await;
            ensure!(ended.code == Some(0), "a host ended with {:?}: {}", ended.code, ended.log);
        }
        Ok(())
    }

    async fn compare(&self, client: &Client, published: Published, plan: &Plan) -> anyhow::Result<Findings> {
        let mut commits = self.stage.way(Seat::Main).commits();
        commits.extend(self.stage.way(Seat::Companion).commits());
        self.stage.finish_logs();
        let mut ledgers = Ledgers::read(client, published, self.stage.lives(), commits).await;
        ledgers.disruptions.clone_from(&self.disruptions);
        ledgers.log_gaps.clone_from(&self.log_gaps);
        ledgers.dedup.clone_from(&plan.dedup);
        let host_leapt = ledgers.host_clock.leapt > 0 || !self.hardships.contains_key("clock-of-host");
        ensure!(host_leapt, "clock-of-host: nothing was written by a clock that had leapt");
        // The broker believes no leap, and stamps messages as if there was none.
        let believed = ledgers.broker_clock.leapt;
        ensure!(believed == 0, "clock-of-broker: {believed} messages carry the time of a leap");
        Ok(invariants::check(&ledgers))
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

    /// The same, which comes to be killed once it has made so many commits.
    async fn armed_after(&mut self, commits: usize, arms: Arms) -> anyhow::Result<HostProgram> {
        let mut host = self.armed(arms);
        if commits > 0 {
            progress(&mut host, self.stage.way(Seat::Main), commits).await?;
        }
        self.stage.go();
        Ok(host)
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
            self.disruptions.push(Disruption::at(micros()));
        }
    }
}

fn inside(point: Point) -> anyhow::Result<&'static str> {
    match point.place {
        Place::Inside(failpoint) => Ok(failpoint),
        Place::Unanswered(_) => anyhow::bail!("not a place inside of a host"),
    }
}

/// Waits until so many commits of a host pass that were not there before.
async fn progress(host: &mut HostProgram, way: &Proxy, commits: usize) -> anyhow::Result<()> {
    let stored = || way.commits().iter().filter(|commit| commit.answer == Some(Answer::Stored)).count();
    let before = stored();
    let goes_on = within(WORKS_WITHIN, async || stored() >= before + commits || host.has_ended()).await;
    ensure!(!host.has_ended(), "the host ended by itself: {}", host.log());
    ensure!(goes_on, "nothing was committed any more");
    Ok(())
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
