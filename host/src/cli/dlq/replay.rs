//! `guesthouse dlq replay`: brings events that were given up on back to the handlers that gave them up.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::Args;
use guesthouse_connector::{IggyConnector, OutgoingMessage, TopicAddress, attach};
use uuid::Uuid;

use super::reader::{Flow, read_all};
use super::{Console, Environment, LetterFilter};
use crate::cli::ConfigArgs;
use crate::cli::progress::Progress;
use crate::dead_letter::again;

/// Messages of one request.
const BATCH: usize = 500;
/// Reasons that are shown one by one.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ids of dead letters, as `dlq list` prints them.
    #[arg(required_unless_present = "all")]
    ids: Vec<Uuid>,
    /// All that the filters leave.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    filter: LetterFilter,
    /// Only say how many it would be.
    #[arg(long)]
    dry_run: bool,
}

/// What goes back, by topic, and what cannot.
#[derive(Debug, Default)]
struct Chosen {
    topics: BTreeMap<String, (TopicAddress, Vec<OutgoingMessage>)>,
    found: usize,
    stays: Vec<String>,
}

pub(super) async fn replay(
    args: ReplayArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let connector = attach(&config.connector).await.context("cannot open the broker")?;
    let mut chosen = Chosen::default();
    let read = read_all(connector.as_ref(), &config, |message, letter| {
        let id_of = |id: &Uuid| id.as_u128() == message.id;
        if (args.all || args.ids.iter().any(id_of)) && args.filter.wants(&letter.summary) {
            chosen.found += 1;
            match again(&message, &letter.summary) {
                Ok((topic, message)) => {
                    let share = chosen.topics.entry(topic.to_string()).or_insert((topic, Vec::new()));
                    share.1.push(message);
                }
                Err(error) => chosen.stays.push(format!("{}: {error}", letter.summary.id)),
            }
        }
        Flow::GoOn
    })
    .await;
    let done = match read {
        Ok(_) if args.dry_run => Ok(0),
        Ok(_) => publish(connector.as_ref(), std::mem::take(&mut chosen.topics)).await,
        Err(error) => Err(error),
    };
    let closed = connector.shutdown().await.context("cannot close the connection");
    let published = done?;
    closed?;
    if !args.all && chosen.found < args.ids.len() {
        bail!("{} of {} ids are those of no dead letter", args.ids.len() - chosen.found, args.ids.len());
    }
    for reason in chosen.stays.iter().take(SHOWN_MAX) {
        writeln!(console.err, "left where it is: {reason}")?;
    }
    let (found, stays) = (chosen.found, chosen.stays.len());
    Ok(writeln!(console.out, "{found} dead letters, {published} published, {stays} cannot be")?)
}

async fn publish(
    connector: &dyn IggyConnector,
    topics: BTreeMap<String, (TopicAddress, Vec<OutgoingMessage>)>,
) -> anyhow::Result<usize> {
    let total: usize = topics.values().map(|(_, messages)| messages.len()).sum();
    let mut progress = Progress::start("replaying", total as u64);
    let mut published = 0;
    for (topic, messages) in topics.into_values() {
        for batch in messages.chunks(BATCH) {
            if let Err(error) = connector.publish_batch(&topic, batch.to_vec()).await {
                published += batch.len() - error.unpublished.len();
                let so_far = format!("{published} of {total} are published; cannot publish to {topic}");
                return Err(anyhow::Error::new(error.source).context(so_far));
            }
            published += batch.len();
            progress.add(batch.len() as u64);
        }
    }
    Ok(published)
}
