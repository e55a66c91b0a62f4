//! `guesthouse replay`: publishes a range of a topic again.

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};
use guesthouse_connector::{IggyConnector, connector};
use jiff::Timestamp;

use super::progress::Progress;
use super::signals::Signals;
use super::{ConfigArgs, Console, Environment, ListArgs, connection, refuse_kept_topic};
use crate::config::Config;
use crate::replay::{
    ActiveReplay, ReplayBound, ReplayConfig, ReplayError, ReplayInfo, ReplayManager, ReplayTarget,
};

#[derive(Debug, Subcommand)]
pub(super) enum ReplayCommand {
    /// Begin a replay and run it to its end; Ctrl-C pauses it.
    Start(StartArgs),
    /// Go on with one that is paused, interrupted or failed.
    Resume(NamedArgs),
    /// Let one that runs elsewhere wait.
    Pause(NamedArgs),
    /// Give one up for good.
    Cancel(NamedArgs),
    /// List all there are.
    List(ListArgs),
    /// Show one with how far it is in each partition.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Its name: 1 to 63 of a-z, 0-9 and '-'.
    name: String,
    /// The topic to read.
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Only these of its partitions.
    #[arg(long = "partition", value_name = "N")]
    partitions: Vec<u32>,
    /// Where to begin: `offset:N`, or a time such as 2026-11-01T00:00:00Z; the beginning otherwise.
    #[arg(long, value_name = "WHERE", value_parser = bound)]
    from: Option<ReplayBound>,
    /// Before what to end, in the same form; what is there now otherwise.
    #[arg(long, value_name = "WHERE", value_parser = bound)]
    to: Option<ReplayBound>,
    #[command(flatten)]
    target: TargetArgs,
    /// Messages a second at most.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<NonZeroU32>,
    /// Only count what would be published.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// Publish to this topic, to all who read it.
    #[arg(long, value_name = "TOPIC")]
    to_topic: Option<String>,
    /// Publish to the same topic, to this handler alone.
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct NamedArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Its name.
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Its name.
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(
    command: ReplayCommand,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let config = command.config().load(environment)?;
    // The broker is not asked for what is on record.
    let on_record = ReplayManager::new(connector(config.connector.mode), config.replays_dir.clone());
    match command {
        ReplayCommand::Start(args) => {
            let wanted = args.wanted(&config)?;
            let (manager, connector) = open(&config).await?;
            let done = match manager.start(&args.name, wanted).await {
                Ok(replay) => run(&manager, replay, console).await,
                Err(error) => Err(error.into()),
            };
            connection::close(connector.as_ref(), done).await
        }
        ReplayCommand::Resume(args) => {
            let (manager, connector) = open(&config).await?;
            let done = match manager.resume(&args.name) {
                Ok(replay) => run(&manager, replay, console).await,
                Err(error) => Err(error.into()),
            };
            connection::close(connector.as_ref(), done).await
        }
        ReplayCommand::Pause(args) => Ok(on_record.pause(&args.name)?),
        ReplayCommand::Cancel(args) => Ok(on_record.cancel(&args.name)?),
        ReplayCommand::List(args) => list(&on_record, args.json, console),
        ReplayCommand::Show(args) => show(&on_record.get(&args.name)?, args.json, console),
    }
}

async fn open(config: &Config) -> anyhow::Result<(ReplayManager, Arc<dyn IggyConnector>)> {
    let connector = connection::open(config).await?;
    Ok((ReplayManager::new(Arc::clone(&connector), config.replays_dir.clone()), connector))
}

impl ReplayCommand {
    const fn config(&self) -> &ConfigArgs {
        match self {
            Self::Start(args) => &args.config,
            Self::Resume(args) | Self::Pause(args) | Self::Cancel(args) => &args.config,
            Self::List(args) => &args.config,
            Self::Show(args) => &args.config,
        }
    }
}

impl StartArgs {
    /// What is asked for.
    fn wanted(&self, config: &Config) -> anyhow::Result<ReplayConfig> {
        let target = match (&self.target.to_topic, &self.target.handler) {
            (_, Some(handler)) if !config.handlers.iter().any(|known| known.name.as_str() == handler) => {
                bail!(ReplayError::Range(format!("there is no handler `{handler}` in the configuration")))
            }
            (_, Some(handler)) => ReplayTarget::Handler(handler.clone()),
            (Some(topic), None) => ReplayTarget::Topic(topic.clone()),
            (None, None) => bail!("one of --to-topic and --handler must be given"),
        };
        refuse_kept_topic("--to-topic", self.target.to_topic.as_deref(), config)?;
        let (from, to) = (self.from.unwrap_or(ReplayBound::Open), self.to.unwrap_or(ReplayBound::Open));
        refuse_backwards(from, to)?;
        Ok(ReplayConfig {
            stream: config.connector.stream_name.clone(),
            topic: self.topic.clone(),
            partitions: self.partitions.clone(),
            from,
            to,
            target,
            rate_max: self.rate,
            dry_run: self.dry_run,
        })
    }
}

/// Runs a replay until it ends; the first signal pauses it, a second one ends the program.
async fn run(manager: &ReplayManager, replay: ActiveReplay, console: &mut Console<'_>) -> anyhow::Result<()> {
    let (name, (total, behind)) = (replay.info().name.clone(), replay.info().offsets());
    let mut signals = Signals::listen()?;
    let mut progress = Progress::start("replaying", total);
    progress.add(behind);
    let mut asked = false;
    let ended = {
        let running = replay.run(|more| progress.add(more));
        tokio::pin!(running);
        loop {
            tokio::select! {
                ended = &mut running => break ended?,
                () = signals.next() => {
                    if std::mem::replace(&mut asked, true) {
                        bail!("replay `{name}` was interrupted; it can be resumed");
                    }
                    manager.pause(&name)?;
                }
            }
        }
    };
    drop(progress);
    let (read, published) = (ended.read(), ended.published());
    writeln!(console.out, "{}: {} messages read, {} published", ended.status.as_str(), read, published)?;
    tell_dropped(ended.headers_dropped(), ended.config.dry_run, console)?;
    if ended.status.can_resume() {
        writeln!(console.err, "go on with: guesthouse replay resume {name}")?;
    }
    Ok(())
}

/// Says what messages that come again have lost, if anything.
pub(super) fn tell_dropped(headers: u64, dry_run: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    if headers > 0 {
        let left = if dry_run { "would be left out" } else { "were left out" };
        writeln!(
            console.err,
            "{headers} headers {left}: they find no room in their messages beside those that a replay adds, or cannot be read; \
             `gh-headers-dropped` of a message counts its own"
        )?;
    }
    Ok(())
}

fn list(manager: &ReplayManager, json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let replays = manager.list()?;
    if json {
        serde_json::to_writer_pretty(&mut *console.out, &replays)?;
        return Ok(writeln!(console.out)?);
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["name", "status", "topic", "target", "read", "published", "left"]);
    for replay in &replays {
        let (all, behind) = replay.offsets();
        table.add_row([
            replay.name.clone(),
            replay.status.as_str().to_owned(),
            replay.config.topic.clone(),
            target(&replay.config),
            replay.read().to_string(),
            replay.published().to_string(),
            (all - behind).to_string(),
        ]);
    }
    Ok(writeln!(console.out, "{table}")?)
}

fn show(replay: &ReplayInfo, json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *console.out, replay)?;
        return Ok(writeln!(console.out)?);
    }
    writeln!(
        console.out,
        "{} {}: {} to {}",
        replay.name,
        replay.status.as_str(),
        replay.config.topic,
        target(&replay.config)
    )?;
    if let Some(reason) = &replay.reason {
        writeln!(console.out, "  {reason}")?;
    }
    for range in &replay.partitions {
        writeln!(
            console.out,
            "  partition {}: offsets {} to {}, next {}; {} read, {} published",
            range.partition, range.from, range.to, range.next, range.read, range.published
        )?;
    }
    tell_dropped(replay.headers_dropped(), replay.config.dry_run, console)
}

fn target(config: &ReplayConfig) -> String {
    let dry = if config.dry_run { " (dry run)" } else { "" };
    match &config.target {
        ReplayTarget::Topic(topic) => format!("topic {topic}{dry}"),
        ReplayTarget::Handler(handler) => format!("handler {handler}{dry}"),
    }
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("expected a whole number from 1 to {}", u32::MAX))
}

/// A range that ends before it begins holds nothing, which nobody asks for.
fn refuse_backwards(from: ReplayBound, to: ReplayBound) -> Result<(), ReplayError> {
    let backwards = match (from, to) {
        (ReplayBound::Offset(from), ReplayBound::Offset(to)) => from >= to,
        (ReplayBound::TimeMicros(from), ReplayBound::TimeMicros(to)) => from >= to,
        _ => false,
    };
    let problem = "the range is empty: expected `--to`, where it ends, behind `--from`, where it begins";
    if backwards { Err(ReplayError::Range(problem.to_owned())) } else { Ok(()) }
}

fn bound(text: &str) -> Result<ReplayBound, String> {
    let expected = "expected `offset:N` or a time since 1970 such as 2026-11-01T00:00:00Z";
    if let Some(offset) = text.strip_prefix("offset:") {
        return offset.parse().map(ReplayBound::Offset).map_err(|_| expected.to_owned());
    }
    let time: Timestamp = text.parse().map_err(|_| expected.to_owned())?;
    u64::try_from(time.as_microsecond()).map(ReplayBound::TimeMicros).map_err(|_| expected.to_owned())
}

/// Whether a replay was asked for in a way that cannot work.
pub(super) fn is_asked_wrongly(error: &ReplayError) -> bool {
    matches!(
        error,
        ReplayError::Name(_)
            | ReplayError::Exists(_)
            | ReplayError::Unknown(_)
            | ReplayError::Ended { .. }
            | ReplayError::Range(_)
    )
}
