//! The command line: what the program can be asked to do, and what its exit says.
//!
//! Exit codes: 0, it did what was asked; 1, something failed while doing it; 2, it was asked in a way that cannot
//! work: wrong arguments, a configuration with mistakes, or a component that is missing or refused.

mod broker;
mod check;
mod connection;
mod dlq;
mod doctor;
mod groups;
mod health;
mod inspect;
mod parked;
mod progress;
mod publish;
mod replay;
mod run;
mod signals;
mod topology;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use guesthouse_broker::{ExamineError, StartError};

use crate::config::{Config, ConfigError};
use crate::host::BuildError;
use crate::open_files;

/// Runs sandboxed WebAssembly event handlers on events from Apache Iggy.
#[derive(Debug, Parser)]
#[command(name = "guesthouse", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read events and run their handlers until told to stop (SIGTERM, SIGHUP, SIGQUIT or Ctrl-C; one more after a second ends at once).
    Run(run::RunArgs),
    /// Run the embedded broker alone, for any client of Iggy, until told to stop (SIGTERM, SIGHUP, SIGQUIT or Ctrl-C).
    Broker(broker::BrokerArgs),
    /// Examine the data directory of an embedded broker that does not run, and explain what is wrong with it.
    Doctor(doctor::DoctorArgs),
    /// Check a configuration and its components, and print it with all defaults and masked secrets.
    Check(ConfigArgs),
    /// Say what a component is, which imports need which grant, and whether it would be admitted.
    Inspect(inspect::InspectArgs),
    /// Publish envelopes from a file: one JSON object per line, or one JSON array.
    Publish(publish::PublishArgs),
    /// Look at events that were given up on.
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Look at the topics of the configuration, and make them as configured.
    #[command(subcommand)]
    Topology(topology::TopologyCommand),
    /// Look at consumer groups, and put them elsewhere.
    #[command(subcommand)]
    Groups(groups::GroupsCommand),
    /// Say how a host fares, or its broker where the configuration has no `metrics.listen`. Exits with 1 unless healthy.
    Health(health::HealthArgs),
    /// Publish a range of a topic again, to a topic or to one handler.
    #[command(subcommand)]
    Replay(replay::ReplayCommand),
    /// Look at lanes that wait behind a dead event, and release or drop them.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file; - is standard input, and then relative paths start at the working directory.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// Where a command writes. Logs and progress go to standard error by themselves.
pub struct Console<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// Everything that is said about it.
    pub err: &'a mut dyn Write,
}

/// The environment of the process, as `main` found it.
pub type Environment = Vec<(OsString, OsString)>;

/// Arguments that cannot mean anything together, or with the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct AskedWrongly(String);

/// Stands for standard input where a file is named.
const STANDARD_INPUT: &str = "-";

/// Longest name of a topic.
const TOPIC_BYTES_MAX: usize = 255;

/// The exit code for success.
pub const EXIT_OK: u8 = 0;
/// The exit code for a failure.
pub const EXIT_FAILURE: u8 = 1;
/// The exit code for wrong arguments or a wrong configuration.
pub const EXIT_USAGE: u8 = 2;

impl Cli {
    /// What is logged when the environment does not say: a host tells what it does, a tool only what is wrong.
    pub const fn log_filter(&self) -> &'static str {
        match self.command {
            Command::Run(_) => {
                "warn,guest=info,guesthouse=info,guesthouse_connector=info,guesthouse_broker=info"
            }
            Command::Broker(_) => "warn,guesthouse_broker=info",
            Command::Doctor(_)
            | Command::Check(_)
            | Command::Inspect(_)
            | Command::Publish(_)
            | Command::Dlq(_)
            | Command::Topology(_)
            | Command::Groups(_)
            | Command::Health(_)
            | Command::Replay(_)
            | Command::Parked(_) => "warn",
        }
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// When it cannot be done; [`exit_code`] says what that means for the exit.
    pub async fn execute(self, environment: Environment, mut console: Console<'_>) -> anyhow::Result<()> {
        let done = match self.command {
            Command::Run(args) => run::run(args, environment).await,
            Command::Broker(args) => broker::broker(args, &mut console).await,
            Command::Doctor(args) => doctor::doctor(args, &mut console).await,
            Command::Check(args) => check::check(args, environment, &mut console).await,
            Command::Inspect(args) => inspect::inspect(args, &mut console).await,
            Command::Publish(args) => publish::publish(args, environment, &mut console).await,
            Command::Dlq(command) => dlq::execute(command, environment, &mut console).await,
            Command::Topology(command) => topology::execute(command, environment, &mut console).await,
            Command::Groups(command) => groups::execute(command, environment, &mut console).await,
            Command::Health(args) => health::health(args, environment, &mut console).await,
            Command::Replay(command) => replay::execute(command, environment, &mut console).await,
            Command::Parked(command) => parked::execute(command, environment, &mut console).await,
        };
        match done {
            // Whoever reads the output has seen enough.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            done => done,
        }
    }
}

/// The exit code that an error of [`Cli::execute`] means.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let asked_wrongly = error.chain().any(|cause| {
        let components = matches!(
            cause.downcast_ref::<BuildError>(),
            Some(BuildError::Component { .. } | BuildError::Admission { .. })
        );
        let inspected = cause.is::<inspect::ComponentRefused>() || cause.is::<inspect::ComponentUnreadable>();
        let broker = matches!(
            cause.downcast_ref::<StartError>(),
            Some(
                StartError::Exposed { .. }
                    | StartError::ExposedHttp { .. }
                    | StartError::Tls(_)
                    | StartError::Credentials(_)
            )
        );
        components
            || inspected
            || broker
            || cause.is::<ConfigError>()
            || cause.is::<AskedWrongly>()
            || cause.is::<check::ComponentsRefused>()
            || matches!(cause.downcast_ref(), Some(ExamineError::NotADataDir { .. }))
            || cause.downcast_ref().is_some_and(replay::is_asked_wrongly)
    });
    if asked_wrongly { EXIT_USAGE } else { EXIT_FAILURE }
}

/// An error and its causes, as lines for people.
pub fn report(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  because: {cause}"));
    }
    if let Some(advice) = open_files::explain(error.as_ref()) {
        text.push_str(&format!("\n  {advice}"));
    }
    text
}

impl ConfigArgs {
    fn load(&self, environment: Environment) -> Result<Config, ConfigError> {
        if self.is_standard_input() {
            let name = Path::new("on standard input");
            return Config::read(io::stdin().lock(), name, Path::new(""), environment);
        }
        Config::load(&self.config, environment)
    }

    /// Whether the configuration comes from there.
    fn is_standard_input(&self) -> bool {
        self.config == Path::new(STANDARD_INPUT)
    }
}

/// The name of a topic, as a broker accepts it.
fn topic_name(text: &str) -> Result<String, String> {
    let fits = (1..=TOPIC_BYTES_MAX).contains(&text.len());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("expected the name of a topic, 1 to {TOPIC_BYTES_MAX} bytes"))
    }
}

/// Refuses to publish to a topic that the host writes for itself. `option` is where it is named.
fn refuse_kept_topic(option: &str, topic: Option<&str>, config: &Config) -> Result<(), AskedWrongly> {
    let used = topic.and_then(|topic| Some((topic, config.dead_letters.use_of_topic(topic)?)));
    match used {
        Some((topic, used)) => Err(AskedWrongly(format!(
            "{option} `{topic}`: this topic is kept for {used}; name another topic"
        ))),
        None => Ok(()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let direct = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let kind = direct.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind());
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
