//! The steps of a run in which what surrounds a host fails: its log, a disk, a clock, its files, its memory.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};

use super::super::files;
use super::super::ledgers::Disruption;
use super::super::plan::{LogFault, Owner};
use super::super::proxy::micros;
use super::super::stage::Surroundings;
use super::{Run, within};

/// How long a host that was asked to stop may take: what `dispatch.drain` says, and more for a busy machine.
const STOPS_WITHIN: Duration = Duration::from_secs(25);

/// Commits by which a host shows that it works.
const COMMITS: usize = 20;

impl Run {
    /// Whatever happens to its log, a host works, and ends when it is asked to.
    pub(super) async fn log_fails(&mut self, fault: LogFault) -> anyhow::Result<()> {
        self.fresh_main(Surroundings::LogPipe).await?;
        let from_micros = micros();
        let pipe = self.stage.log_pipe().context("this life has a pipe")?;
        if matches!(fault, LogFault::Closed(_)) {
            pipe.close()
        } else {
            pipe.block()
        }
        self.work_goes_on(COMMITS).await.context("nobody reads the log")?;
        let (LogFault::Blocked(lasts) | LogFault::BlockedAtStop(lasts) | LogFault::Closed(lasts)) = fault;
        // How long nobody reads is what is asked for; nothing is synchronised by it.
        tokio::time::sleep(lasts).await;
        self.work_goes_on(COMMITS).await.context("nobody reads the log")?;
        if matches!(fault, LogFault::Blocked(_)) {
            self.stage.log_pipe().context("this life has a pipe")?.unblock();
            self.work_goes_on(COMMITS).await?;
        } else {
            self.main_stops().await.context("nobody reads the log")?;
        }
        self.log_gaps.push(Disruption { from_micros, until_micros: micros() });
        Ok(())
    }

    pub(super) async fn disk_is_full(&mut self, owner: Owner, lasts: Duration) -> anyhow::Result<()> {
        self.main_at_work().await?;
        self.disk(owner)?.fill().map_err(|error| anyhow!("the disk cannot be filled: {error}"))?;
        tokio::time::sleep(lasts).await;
        self.disk(owner)?.free().map_err(|error| anyhow!("the disk cannot be freed: {error}"))?;
        self.work_goes_on(COMMITS).await.context("the disk has space again")
    }

    pub(super) async fn clock_leaps(&mut self, owner: Owner, lasts: Duration) -> anyhow::Result<()> {
        match owner {
            Owner::Host => self.fresh_main(Surroundings::WallClock).await?,
            Owner::Broker => {
                self.main_at_work().await?;
                self.stage.restart_broker_with_clock().await;
                self.work_goes_on(COMMITS).await?;
            }
        }
        self.stage.clock().context("the stage has a clock")?.ahead()?;
        tokio::time::sleep(lasts).await;
        self.work_goes_on(COMMITS).await.context("the clock has leapt ahead")?;
        self.stage.clock().context("the stage has a clock")?.back()?;
        self.work_goes_on(COMMITS).await.context("the clock has leapt back")
    }

    pub(super) async fn files_run_out(&mut self, lasts: Duration) -> anyhow::Result<()> {
        self.fresh_main(Surroundings::FewFiles).await?;
        let process = self.main.as_ref().context("there is a main host")?.process();
        // Who may not open a connection cannot answer either.
        self.stage.watcher().excuse();
        files::forbid(process).map_err(|error| anyhow!("the limit cannot be lowered: {error}"))?;
        tokio::time::sleep(lasts).await;
        files::permit(process).map_err(|error| anyhow!("the limit cannot be raised: {error}"))?;
        self.stage.watcher().expect();
        self.work_goes_on(COMMITS).await.context("files may be opened again")
    }

    pub(super) async fn memory_is_little(&mut self) -> anyhow::Result<()> {
        let works = match self.fresh_main(Surroundings::LittleMemory).await {
            Ok(()) => self.work_goes_on(5 * COMMITS).await,
            failed => failed,
        };
        let deaths = self.stage.deaths_for_memory();
        works.with_context(|| format!("the kernel killed {deaths} processes for memory"))?;
        ensure!(deaths == 0, "the kernel killed {deaths} processes for memory");
        Ok(())
    }

    fn disk(&self, owner: Owner) -> anyhow::Result<&super::super::disk::Disk> {
        self.stage.disk(owner).context("the stage has disks")
    }

    /// The main host stops in order, if it lives, and starts again in these surroundings, and works.
    async fn fresh_main(&mut self, surroundings: Surroundings) -> anyhow::Result<()> {
        if self.main.as_mut().is_some_and(|host| !host.has_ended()) {
            self.main_stops().await?;
        }
        self.main = Some(self.stage.start_in(surroundings));
        self.work_goes_on(COMMITS).await
    }

    async fn main_stops(&mut self) -> anyhow::Result<()> {
        let mut host = self.main.take().context("there is a main host")?;
        host.ask_to_stop();
        let has_stopped = within(STOPS_WITHIN, async || host.has_ended()).await;
        ensure!(has_stopped, "it did not stop within {STOPS_WITHIN:?}: {}", host.log());
        let ended = host.ended().await;
        ensure!(ended.code == Some(0), "it ended with {:?}: {}", ended.code, ended.log);
        Ok(())
    }
}
