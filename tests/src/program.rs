//! The host as the program that people run: started on a config file, watched by its report, ended in every way.

use std::fs::File;
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use guesthouse::Counters;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::builds;
use crate::wait::eventually;

/// A running `guesthouse run`. Dropping it kills it.
#[derive(Debug)]
pub struct HostProgram {
    child: Child,
    report: PathBuf,
    log: PathBuf,
}

/// How a host ended, with all that it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it counted, when it came to say so.
    pub report: Option<Counters>,
    /// What it wrote to its output and error output.
    pub log: String,
}

/// One line that a guest wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestLine {
    /// Whose guest.
    pub handler: String,
    /// For whom it ran.
    pub tenant: String,
    /// What it wrote.
    pub text: String,
}

impl HostProgram {
    /// Starts it on a config file; report and log are written beside that, under the same name.
    pub fn start(config: &Path) -> Self {
        Self::start_as(Command::new(builds::host()), config)
    }

    /// Starts another build of it, with the environment of a command that lacks only its arguments.
    pub fn start_as(command: Command, config: &Path) -> Self {
        let log = File::create(config.with_extension("log")).expect("the log can be created");
        let copy = log.try_clone().expect("a file handle can be copied");
        Self::start_writing(command, config, [log.into(), copy.into()])
    }

    /// The same with a pipe for whatever it writes; somebody else fills the log from there.
    pub fn start_piped(command: Command, config: &Path) -> (Self, PipeReader) {
        File::create(config.with_extension("log")).expect("the log can be created");
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        let copy = writer.try_clone().expect("a pipe can be copied");
        (Self::start_writing(command, config, [writer.into(), copy.into()]), reader)
    }

    fn start_writing(mut command: Command, config: &Path, [stdout, stderr]: [Stdio; 2]) -> Self {
        let (report, log) = (config.with_extension("report.json"), config.with_extension("log"));
        // A report from an earlier life must not be taken for this one's.
        drop(std::fs::remove_file(&report));
        let child = command
            .args(["run".as_ref(), "--config".as_ref(), config.as_os_str()])
            .args(["--report".as_ref(), report.as_os_str()])
            .env_remove("GUESTHOUSE_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the program was built, so it starts");
        Self { child, report, log }
    }

    /// What it counted so far, once it says so.
    pub fn counters(&self) -> Option<Counters> {
        serde_json::from_slice(&std::fs::read(&self.report).ok()?).ok()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until its counters are as wanted, and gives them back.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Counters) -> bool) -> Counters {
        let seen = eventually(what, async || match self.child.try_wait() {
            Ok(None) => self.counters().filter(|counters| wanted(counters)).map(Ok),
            ended => Some(Err(ended)),
        });
        let seen = seen.await;
        seen.unwrap_or_else(|ended| panic!("the host ended before {what}: {ended:?}\n{}", self.log()))
    }

    /// Waits until it holds this many partitions.
    pub async fn until_reading(&mut self, partitions: u64) {
        self.until("the host reads its partitions", |counters| counters.partitions == partitions).await;
    }

    /// Its number among the processes.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Raises a signal in it.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child can be signalled");
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Where it writes its log.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Kills it with no chance to clean up.
    pub fn kill(mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "the host ended by itself: {ended:?}\n{}", self.log());
        self.child.kill().expect("a child that runs can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Asks it to stop, as an operator does.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to stop and waits for its end.
    pub async fn stop(self) -> Ended {
        self.ask_to_stop();
        self.ended().await
    }

    /// Waits until its log contains a text.
    pub async fn until_logged(&self, text: &str) {
        eventually("the log says so", async || self.log().contains(text).then_some(())).await;
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let status = eventually("the program ends", async || self.child.try_wait().ok().flatten()).await;
        Ended { code: status.code(), report: self.counters(), log: self.log() }
    }
}

impl Ended {
    /// The lines that guests wrote, in their order.
    pub fn guest_lines(&self) -> Vec<GuestLine> {
        let lines = self.log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let field = |line: &Value, name: &str| line["fields"][name].as_str().unwrap_or_default().to_owned();
        lines
            .filter(|line| line["target"] == "guest")
            .map(|line| GuestLine {
                handler: field(&line, "handler"),
                tenant: field(&line, "tenant"),
                text: field(&line, "message"),
            })
            .collect()
    }
}

impl Drop for HostProgram {
    #[expect(clippy::print_stderr, reason = "whoever looks into a failed test wants to see it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the host:\n{}", self.log());
        }
        // It may have ended before; either way nothing is left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
