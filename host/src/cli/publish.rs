//! `guesthouse publish`: publishes envelopes from a file, each confirmed.

mod input;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use guesthouse_connector::{IggyConnector, OutgoingMessage, TopicAddress};

use self::input::{Input, read_input};
use super::progress::Progress;
use super::{
    AskedWrongly, ConfigArgs, Console, Environment, STANDARD_INPUT, connection, refuse_kept_topic, topic_name,
};
use crate::config::Config;

/// Most bad entries that are shown one by one.
const BAD_SHOWN_MAX: usize = 20;
/// Payload bytes after which a batch is full, whatever its number of messages.
const BATCH_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file of envelopes; - is standard input. It is read as a whole before anything is sent.
    #[arg(long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Publish everything to this topic instead of the one for each event's type.
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    topic: Option<String>,
    /// Messages of one request.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Leave out entries that are no envelopes instead of sending nothing.
    #[arg(long)]
    skip_bad: bool,
}

/// What became of events that the broker confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sent {
    confirmed: usize,
    /// Those of them that the broker had already, by their ids, and did not store again.
    repeats: u64,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.confirmed += other.confirmed;
        self.repeats += other.repeats;
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events", self.confirmed)?;
        match self.repeats {
            0 => Ok(()),
            repeats => write!(f, ", of which the broker had {repeats} already and did not store again"),
        }
    }
}

pub(super) async fn publish(
    args: PublishArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let is_standard_input = args.file == Path::new(STANDARD_INPUT);
    if is_standard_input && args.config.is_standard_input() {
        let problem = "the configuration and the events cannot both come from standard input; name a file for one of them";
        bail!(AskedWrongly(problem.to_owned()));
    }
    let config = args.config.load(environment)?;
    refuse_kept_topic("--topic", args.topic.as_deref(), &config)?;
    let input = read_input(&read(&args.file)?)
        .map_err(|problem| anyhow::anyhow!("{} {problem}; nothing was sent", shown(&args.file)))?;
    refuse_bad(&input, args.skip_bad, console)?;
    let topics = by_topic(input, args.topic.as_deref());
    let connector = connection::open(&config).await?;
    let sent = send(connector.as_ref(), &config, topics, args.batch).await;
    let counts = connection::close(connector.as_ref(), sent).await?;
    let mut total = Sent::default();
    counts.values().for_each(|sent| total.add(*sent));
    writeln!(console.out, "published {total}")?;
    for (topic, sent) in counts {
        writeln!(console.out, "  {topic}: {sent}")?;
    }
    Ok(())
}

/// What people call an input.
fn shown(file: &Path) -> String {
    if file == Path::new(STANDARD_INPUT) { "standard input".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> anyhow::Result<Bytes> {
    let mut text = Vec::new();
    let read = if file == Path::new(STANDARD_INPUT) {
        std::io::stdin().lock().read_to_end(&mut text).map(drop)
    } else {
        std::fs::read(file).map(|bytes| text = bytes)
    };
    read.with_context(|| format!("cannot read {}", shown(file)))?;
    Ok(text.into())
}

fn refuse_bad(input: &Input, skip: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    for bad in input.bad.iter().take(BAD_SHOWN_MAX) {
        writeln!(console.err, "{bad}")?;
    }
    let (bad, all) = (input.bad.len(), input.bad.len() + input.good.len());
    if bad > BAD_SHOWN_MAX {
        writeln!(console.err, "... and {} more", bad - BAD_SHOWN_MAX)?;
    }
    match bad {
        0 => Ok(()),
        _ if skip => Ok(writeln!(console.err, "left out {bad} of {all} entries")?),
        _ => bail!("{bad} of {all} entries cannot be published, and nothing was sent; see --skip-bad"),
    }
}

/// Messages by topic, in the order of the input.
fn by_topic(input: Input, topic: Option<&str>) -> BTreeMap<String, Vec<OutgoingMessage>> {
    let mut topics: BTreeMap<String, Vec<OutgoingMessage>> = BTreeMap::new();
    for publication in input.good {
        let topic = topic.unwrap_or(publication.topic);
        topics.entry(topic.to_owned()).or_default().push(publication.message);
    }
    topics
}

async fn send(
    connector: &dyn IggyConnector,
    config: &Config,
    topics: BTreeMap<String, Vec<OutgoingMessage>>,
    batch_max: u32,
) -> anyhow::Result<BTreeMap<String, Sent>> {
    let stream = &config.connector.stream_name;
    connector.ensure_topics(stream, &config.topology).await.context("the topics are not as configured")?;
    let total: usize = topics.values().map(Vec::len).sum();
    let mut progress = Progress::start("publishing", total as u64);
    let mut sent = BTreeMap::new();
    let mut confirmed = 0;
    for (topic, messages) in topics {
        let count = messages.len();
        let repeats_before = connector.connection_status().repeats;
        let address = TopicAddress::new(stream.as_str(), topic.as_str());
        for batch in batches(messages, batch_max) {
            let in_batch = batch.len();
            if let Err(error) = connector.publish_batch(&address, batch).await {
                confirmed += in_batch - error.unpublished.len();
                let so_far =
                    format!("{confirmed} of {total} events are published; cannot publish to {address}");
                return Err(anyhow::Error::new(error.source).context(so_far));
            }
            confirmed += in_batch;
            progress.add(in_batch as u64);
        }
        // Nobody else publishes over this connection.
        let repeats = connector.connection_status().repeats - repeats_before;
        sent.insert(topic, Sent { confirmed: count, repeats });
    }
    Ok(sent)
}

/// Cuts messages into batches of at most `messages_max`, and fewer where they are large.
fn batches(messages: Vec<OutgoingMessage>, messages_max: u32) -> impl Iterator<Item = Vec<OutgoingMessage>> {
    let mut rest = messages.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut batch = vec![rest.next()?];
        let mut bytes = batch.iter().map(|message| message.payload.len()).sum::<usize>();
        let full = |batch: &[OutgoingMessage]| batch.len() as u64 >= u64::from(messages_max);
        while !full(&batch) {
            let Some(next) = rest.next_if(|next| bytes + next.payload.len() <= BATCH_BYTES_MAX) else {
                break;
            };
            bytes += next.payload.len();
            batch.push(next);
        }
        Some(batch)
    })
}
