//! `guesthouse dlq replay`: brings events that were given up on back to the handlers that gave them up.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use clap::Args;
use guesthouse_connector::{IggyConnector, OutgoingMessage, PublishBatchError, TopicAddress};

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
    /// Letters that cannot go back, whoever asks.
    stays: u64,
    /// Letters whose topic does not take them now.
    refused: u64,
    /// Topics that refused some, which is told once.
    refusing: BTreeSet<String>,
    /// Headers that found no room beside those of a replay.
    headers_dropped: u64,
}

/// Events that go back to one topic.
#[derive(Debug)]
struct Batch {
    topic: TopicAddress,
    messages: Vec<OutgoingMessage>,
    /// The letters that they are from, by the ids of the messages.
    letters: BTreeMap<u128, u128>,
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
        let batches = batches(page, &selected, &mut tally, console)?;
        if dry_run {
            continue;
        }
        let (mut replayed, mut failure) = (Vec::new(), None);
        for batch in batches.into_values() {
            let published = publish(connector, batch, &mut tally, console).await?;
            replayed.extend(published.letters);
            failure = failure.or(published.failure);
        }
        if !replayed.is_empty() {
            let written = selected.letters.states.write(LetterState::Replayed, replayed).await;
            written.with_context(|| {
                format!("{} events were published, and some of their dead letters stay open", tally.published)
            })?;
        }
        if let Some(error) = failure {
            return Err(error.context(format!("{} events were published before", tally.published)));
        }
    }
    let (found, Tally { published, stays, refused, headers_dropped, .. }) = (selected.found, tally);
    writeln!(console.out, "{found} dead letters, {published} published, {} cannot be", stays + refused)?;
    tell_dropped(headers_dropped, dry_run, console)?;
    selected.finish(console)?;
    if refused > 0 {
        bail!("{refused} dead letters stay open, because their topics do not take them; see above");
    }
    Ok(())
}

/// The events of a page of letters, by the topics they go back to. Tells which cannot.
fn batches(
    page: Vec<FoundLetter>,
    selected: &SelectedLetters<'_>,
    tally: &mut Tally,
    console: &mut Console<'_>,
) -> anyhow::Result<BTreeMap<String, Batch>> {
    let mut batches = BTreeMap::new();
    for FoundLetter { message, letter } in page {
        let replays_before = selected.letters.states.known.replays(message.id);
        match again(&message, &letter.summary, replays_before) {
            Ok(EventAgain { topic, message: outgoing, headers_dropped }) => {
                let batch = batches.entry(topic.to_string()).or_insert_with(|| Batch {
                    topic,
                    messages: Vec::new(),
                    letters: BTreeMap::new(),
                });
                batch.letters.insert(outgoing.id, message.id);
                batch.messages.push(outgoing);
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
    Ok(batches)
}

/// What became of a batch.
struct Published {
    /// The letters whose events are confirmed.
    letters: Vec<u128>,
    /// Why nothing more can be published now.
    failure: Option<anyhow::Error>,
}

/// Publishes a batch. A topic that does not take it, because it or the partition is gone or the user may not, keeps no other
/// topic's letters from going back.
async fn publish(
    connector: &dyn IggyConnector,
    batch: Batch,
    tally: &mut Tally,
    console: &mut Console<'_>,
) -> anyhow::Result<Published> {
    let Batch { topic, messages, mut letters } = batch;
    let mut failure = None;
    if let Err(PublishBatchError { unpublished, source }) = connector.publish_batch(&topic, messages).await {
        for message in &unpublished {
            letters.remove(&message.id);
        }
        if source.is_transient() {
            failure = Some(anyhow::Error::new(source).context(format!("cannot publish to {topic}")));
        } else {
            tally.refused += unpublished.len() as u64;
            if tally.refusing.insert(topic.to_string()) {
                writeln!(console.err, "left where they are: dead letters of {topic}: {source}")?;
            }
        }
    }
    tally.published += letters.len() as u64;
    Ok(Published { letters: letters.into_values().collect(), failure })
}
