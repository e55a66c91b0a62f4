//! `guesthouse dlq replay`: brings events that were given up on back to the handlers that gave them up.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Args;
use guesthouse_connector::{IggyConnector, OutgoingMessage, TopicAddress};

use super::letters::FoundLetter;
use super::selection::{SelectedLetters, Selection};
use super::{Console, Environment};
use crate::cli::replay::tell_dropped;
use crate::cli::{ConfigArgs, connection};
use crate::config::Config;
use crate::dead_letter::{EventAgain, LetterState, again};

/// Reasons that are shown one by one.
const SHOWN_MAX: u64 = 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    selection: Selection,
}

/// What became of the letters so far.
#[derive(Debug, Default)]
struct Tally {
    published: u64,
    stays: u64,
    /// Headers that found no room beside those of a replay.
    headers_dropped: u64,
}

pub(super) async fn replay(
    args: ReplayArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let connector = connection::open(&config).await?;
    let done = replay_all(connector.as_ref(), &config, args.selection, console).await;
    connection::close(connector.as_ref(), done).await
}

/// Goes page by page: publishes, waits for that to be confirmed, and writes down that the letters were replayed. A command that
/// ends between the two leaves at most a page of letters open whose events are published already.
async fn replay_all(
    connector: &dyn IggyConnector,
    config: &Config,
    selection: Selection,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let (dry_run, usual) = (selection.dry_run, &[LetterState::Open]);
    let mut selected = SelectedLetters::open(connector, config, selection, usual).await?;
    let mut tally = Tally::default();
    while let Some(page) = selected.next_page().await? {
        let mut batches: BTreeMap<String, (TopicAddress, Vec<OutgoingMessage>)> = BTreeMap::new();
        let mut replayed = Vec::with_capacity(page.len());
        for FoundLetter { message, letter } in page {
            let replays_before = selected.letters.states.known.replays(message.id);
            match again(&message, &letter.summary, replays_before) {
                Ok(EventAgain { topic, message: outgoing, headers_dropped }) => {
                    let batch = batches.entry(topic.to_string()).or_insert_with(|| (topic, Vec::new()));
                    batch.1.push(outgoing);
                    replayed.push(message.id);
                    tally.headers_dropped += u64::from(headers_dropped);
                }
                Err(error) => {
                    if tally.stays < SHOWN_MAX {
                        writeln!(console.err, "left where it is: {}: {error}", letter.summary.id)?;
                    }
                    tally.stays += 1;
                }
            }
        }
        if dry_run || replayed.is_empty() {
            continue;
        }
        for (topic, messages) in batches.into_values() {
            let count = messages.len();
            if let Err(error) = connector.publish_batch(&topic, messages).await {
                tally.published += (count - error.unpublished.len()) as u64;
                let so_far =
                    format!("cannot publish to {topic}; {} events were published before", tally.published);
                return Err(anyhow::Error::new(error.source).context(so_far));
            }
            tally.published += count as u64;
        }
        let written = selected.letters.states.write(LetterState::Replayed, replayed).await;
        written.with_context(|| {
            format!("{} events were published, and some of their dead letters stay open", tally.published)
        })?;
    }
    let (found, Tally { published, stays, headers_dropped }) = (selected.found, tally);
    writeln!(console.out, "{found} dead letters, {published} published, {stays} cannot be")?;
    tell_dropped(headers_dropped, dry_run, console)?;
    selected.finish(console)
}
