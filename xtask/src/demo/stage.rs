//! Where the demo takes place: a folder with a configuration and components, and the host as the program that
//! people run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::report::Report;
use crate::program;
use crate::workspace::Workspace;

/// How often the host is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the host may take to come up or to go down.
const CHANGE_MAX: Duration = Duration::from_secs(60);

/// Lines of the log that are shown when something went wrong.
const LOG_LINES_SHOWN: usize = 20;

const CONFIG: &str = include_str!("guesthouse.yaml");
const GUESTS: [&str; 3] = ["order-totals", "audit-log", "picky"];

/// A folder that holds all that a host needs, and the program.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
    program: PathBuf,
}

/// A host that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Host<'a> {
    stage: &'a Stage,
    child: Child,
}

impl Stage {
    /// Sets up an empty folder.
    pub(crate) fn new(workspace: &Workspace, folder: PathBuf, program: PathBuf) -> Result<Self> {
        let components = folder.join("components");
        fs::create_dir_all(&components).with_context(|| format!("cannot create {}", components.display()))?;
        for guest in GUESTS {
            let built = workspace.component(guest);
            let file = built.file_name().context("a component is a file")?;
            fs::copy(&built, components.join(file))
                .with_context(|| format!("cannot copy {}", built.display()))?;
        }
        let stage = Self { folder, program };
        fs::write(stage.config(), CONFIG).context("cannot write the configuration")?;
        Ok(stage)
    }

    /// Starts the host and waits until it reads its topics.
    pub(crate) fn start(&self) -> Result<Host<'_>> {
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.context("cannot create the log of the host")?;
        // That of an earlier host must not be taken for this one's.
        drop(fs::remove_file(self.report()));
        let mut command = self.command(&["run"]);
        command.arg("--report").arg(self.report()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", program::line(&command)))?;
        let mut host = Host { stage: self, child };
        let started = Instant::now();
        while host.report()?.is_none_or(|report| report.partitions == 0) {
            ensure!(started.elapsed() < CHANGE_MAX, "the host did not come up\n{}", self.last_log_lines());
            thread::sleep(LOOK_EVERY);
        }
        Ok(host)
    }

    /// The program with a task of its own and the configuration.
    pub(crate) fn command(&self, task: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(task).arg("--config").arg(self.config());
        command
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("guesthouse.yaml")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("host.log")
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    fn report(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    fn last_log_lines(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let shown = lines.iter().skip(lines.len().saturating_sub(LOG_LINES_SHOWN));
        let shown: Vec<_> = shown.map(|line| format!("  | {line}")).collect();
        format!("the end of {}:\n{}", self.log().display(), shown.join("\n"))
    }
}

impl Host<'_> {
    /// Publishes envelopes, one per line, and waits until the broker has confirmed all of them.
    pub(crate) fn publish(&self, lines: &[String]) -> Result<()> {
        let file = self.stage.folder.join("events.jsonl");
        fs::write(&file, lines.join("\n")).with_context(|| format!("cannot write {}", file.display()))?;
        program::run(self.stage.command(&["publish"]).arg("--file").arg(file).stdout(Stdio::null()))
    }

    /// Waits until so many messages are settled; tells how many are as time goes by.
    pub(crate) fn wait_until_settled(
        &mut self,
        messages: u64,
        patience: Duration,
        mut settled: impl FnMut(u64),
    ) -> Result<Report> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let report = self.report()?.unwrap_or_default();
            settled(report.settled);
            if report.has_settled(messages) {
                return Ok(report);
            }
            if report.settled != last {
                (last, since) = (report.settled, Instant::now());
            }
            let stuck = since.elapsed() > patience;
            ensure!(
                !stuck,
                "{last} of {messages} messages are settled and no more\n{}",
                self.stage.last_log_lines()
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the report is as wanted.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Report) -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        while !self.report()?.is_some_and(|report| wanted(&report)) {
            ensure!(started.elapsed() < patience, "in vain until {what}\n{}", self.stage.last_log_lines());
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Asks the host to stop, as an operator does, and takes its last report.
    pub(crate) fn stop(mut self) -> Result<Report> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("cannot ask the host to stop")?;
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(asked.elapsed() < CHANGE_MAX, "the host does not stop\n{}", self.stage.last_log_lines());
            thread::sleep(LOOK_EVERY);
        };
        ensure!(status.success(), "the host ended with {status}\n{}", self.stage.last_log_lines());
        Report::read(&self.stage.report()).context("the host left no report")
    }

    /// The report as it stands; an error when the host has ended.
    fn report(&mut self) -> Result<Option<Report>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the host ended by itself: {status}\n{}", self.stage.last_log_lines());
        }
        Ok(Report::read(&self.stage.report()))
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        // It may have ended before; either way nothing is left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
