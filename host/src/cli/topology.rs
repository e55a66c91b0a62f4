//! `guesthouse topology`: shows the topics that a host wants, and makes them so.

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use guesthouse_connector::{TopicReport, TopicState, TopologyManager};

use super::{ConfigArgs, Console, Environment, connection};

#[derive(Debug, Subcommand)]
pub(super) enum TopologyCommand {
    /// Show the configured topics as they are.
    Show(TopologyArgs),
    /// Show how the topics differ from the configuration; exits with 1 when they do.
    Diff(TopologyArgs),
    /// Create missing topics and change the retention of those that differ. What is older than a shorter retention
    /// allows is deleted for good.
    Apply(TopologyArgs),
}

#[derive(Debug, Args)]
pub(super) struct TopologyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// Topics are not as configured.
#[derive(Debug, thiserror::Error)]
#[error("{differing} of {topics} topics are not as configured; see above")]
struct TopicsDiffer {
    differing: usize,
    topics: usize,
}

/// What a command prints and means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Show,
    Diff,
    Apply,
}

pub(super) async fn execute(
    command: TopologyCommand,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let (goal, args) = match command {
        TopologyCommand::Show(args) => (Goal::Show, args),
        TopologyCommand::Diff(args) => (Goal::Diff, args),
        TopologyCommand::Apply(args) => (Goal::Apply, args),
    };
    let config = args.config.load(environment)?;
    let connector = connection::open(&config).await?;
    let stream = config.connector.stream_name.as_str();
    let manager = TopologyManager::new(Arc::clone(&connector), stream, config.topology);
    let reports = match goal {
        Goal::Show | Goal::Diff => manager.report().await,
        Goal::Apply => manager.apply().await,
    };
    let reports = reports.with_context(|| format!("the topics of stream {stream}"));
    let reports = connection::close(connector.as_ref(), reports).await?;
    print(&reports, goal, args.json, console)?;
    let differing = reports.iter().filter(|report| !report.is_as_expected()).count();
    match goal {
        Goal::Diff | Goal::Apply if differing > 0 => {
            Err(TopicsDiffer { differing, topics: reports.len() }.into())
        }
        _ => Ok(()),
    }
}

fn print(reports: &[TopicReport], goal: Goal, json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *console.out, reports)?;
        writeln!(console.out)?;
        return Ok(());
    }
    if goal != Goal::Diff {
        writeln!(console.out, "{}", table(reports))?;
    }
    for report in reports {
        if report.state.is_none() {
            writeln!(console.out, "{}: does not exist", report.topic)?;
        }
        for difference in &report.differences {
            writeln!(console.out, "{}: {difference}", report.topic)?;
        }
    }
    Ok(())
}

fn table(reports: &[TopicReport]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["topic", "partitions", "messages", "bytes", "kept for", "up to"]);
    for report in reports {
        let column = |text: fn(&TopicState) -> String| report.state.as_ref().map_or("-".to_owned(), text);
        table.add_row([
            report.topic.clone(),
            column(|state| state.partitions.len().to_string()),
            column(|state| {
                let counts = state.partitions.iter().map(|partition| partition.messages_count);
                counts.sum::<u64>().to_string()
            }),
            column(|state| state.size_bytes.to_string()),
            column(|state| state.age_max.to_string()),
            column(|state| state.size_max.to_string()),
        ]);
    }
    table
}
