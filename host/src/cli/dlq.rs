//! `guesthouse dlq`: looks at dead letters and deals with them. Looking leaves no trace in the broker.

mod letters;
mod replay;
mod selection;
mod settle;
mod states;

use std::cmp::Reverse;

use anyhow::bail;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::Timestamp;
use uuid::Uuid;

use self::letters::{FoundLetter, Letters};
use super::{ConfigArgs, Console, Environment, connection};
use crate::dead_letter::{DeadLetter, LetterState, LetterSummary, clean, payload_text};
use crate::event::Tenant;
use crate::outcome::OutcomeKind;

/// Longest text in a column of the table.
const COLUMN_BYTES_MAX: usize = 120;
/// What the progress of a command that only looks is called.
const READING: &str = "reading dead letters";
/// Stands for what is not known.
const UNKNOWN: &str = "-";

/// Columns of the whole list.
const TABLE_COLUMNS: u16 = 110;
/// Columns of an id with the space around it.
const ID_COLUMNS: u16 = 38;
/// Longest reason in a list; `show` has all of it.
const REASON_BYTES_MAX: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// List dead letters, the newest first.
    List(ListArgs),
    /// Show one dead letter with its payload.
    Show(ShowArgs),
    /// Bring events back to where they came from, each for the handler alone that gave it up.
    Replay(replay::ReplayArgs),
    /// Say that dead letters were dealt with, so that `replay --all` leaves them out.
    Resolve(settle::StateArgs),
    /// Say that dead letters are to be dealt with again.
    Reopen(settle::StateArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    filter: LetterFilter,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
struct LetterFilter {
    /// Only this tenant's; `platform` for the platform's own.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only those that this handler gave up on; `decode` for messages that could not be read.
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
    /// Only those whose last attempt ended so.
    #[arg(long, value_parser = outcomes())]
    outcome: Option<String>,
    /// Only those that this became of.
    #[arg(long, value_parser = states())]
    state: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Id of the dead letter, as `dlq list` prints it.
    #[arg(value_parser = letter_id)]
    id: Uuid,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// An id as people copy it.
fn letter_id(text: &str) -> Result<Uuid, String> {
    let expected = "expected the id of a dead letter as `dlq list` prints it, such as 67e55044-10b1-426f-9247-bb680e5fe0c8";
    Uuid::try_parse(text).map_err(|_| expected.to_owned())
}

/// The outcomes that end in a dead letter: all but one.
fn outcomes() -> PossibleValuesParser {
    let given_up = |kind: &&OutcomeKind| **kind != OutcomeKind::Done;
    OutcomeKind::ALL.iter().filter(given_up).map(|kind| kind.as_str()).collect::<Vec<_>>().into()
}

fn states() -> PossibleValuesParser {
    LetterState::ALL.map(LetterState::as_str).into()
}

pub(super) async fn execute(
    command: DlqCommand,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    match command {
        DlqCommand::List(args) => list(args, environment, console).await,
        DlqCommand::Show(args) => show(args, environment, console).await,
        DlqCommand::Replay(args) => replay::replay(args, environment, console).await,
        DlqCommand::Resolve(args) => {
            let change = (LetterState::Resolved, &[LetterState::Open][..]);
            settle::set_state(args, change, environment, console).await
        }
        DlqCommand::Reopen(args) => {
            let change = (LetterState::Open, &[LetterState::Replayed, LetterState::Resolved][..]);
            settle::set_state(args, change, environment, console).await
        }
    }
}

async fn list(args: ListArgs, environment: Environment, console: &mut Console<'_>) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let connector = connection::open(&config).await?;
    let read = async {
        let mut letters = Letters::open(connector.as_ref(), &config, READING).await?;
        let mut newest = Newest::new(args.limit);
        while let Some(page) = letters.next_page().await? {
            let summaries = page.into_iter().map(|found| found.letter.summary);
            summaries.filter(|summary| args.filter.wants(summary)).for_each(|summary| newest.offer(summary));
        }
        letters.report_unreadable(console)?;
        anyhow::Ok(newest.into_sorted())
    };
    let read = read.await;
    let letters = connection::close(connector.as_ref(), read).await?;
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &letters)?;
        writeln!(console.out)?;
    } else {
        writeln!(console.out, "{}", table(&letters))?;
    }
    Ok(())
}

async fn show(args: ShowArgs, environment: Environment, console: &mut Console<'_>) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let connector = connection::open(&config).await?;
    let read = async {
        let mut letters = Letters::open(connector.as_ref(), &config, READING).await?;
        while let Some(page) = letters.next_page().await? {
            let found = page.into_iter().find(|found| found.message.id == args.id.as_u128());
            if let Some(FoundLetter { letter, .. }) = found {
                return anyhow::Ok(letter);
            }
        }
        bail!("no dead letter has the id {}", args.id)
    };
    let read = read.await;
    let letter = connection::close(connector.as_ref(), read).await?;
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &letter)?;
        writeln!(console.out)?;
        return Ok(());
    }
    print_letter(&letter, console)
}

impl LetterFilter {
    fn wants(&self, letter: &LetterSummary) -> bool {
        let tenant = self.tenant.as_deref().map(|tenant| match tenant {
            "platform" => Tenant::PLATFORM_ID,
            tenant => tenant,
        });
        let fits = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        fits(tenant, letter.tenant.as_deref())
            && fits(self.handler.as_deref(), letter.handler.as_deref())
            && fits(self.outcome.as_deref(), letter.outcome.as_deref())
            && fits(self.state.as_deref(), Some(letter.state.as_str()))
    }

    /// Whether it asks for a state.
    fn has_state(&self) -> bool {
        self.state.is_some()
    }
}

/// Keeps the newest letters that were offered, and never more than twice as many.
struct Newest {
    limit: usize,
    letters: Vec<LetterSummary>,
}

impl Newest {
    fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), letters: Vec::new() }
    }

    fn offer(&mut self, letter: LetterSummary) {
        self.letters.push(letter);
        if self.letters.len() >= self.limit.saturating_mul(2) {
            self.keep_newest();
        }
    }

    fn into_sorted(mut self) -> Vec<LetterSummary> {
        self.keep_newest();
        self.letters
    }

    fn keep_newest(&mut self) {
        self.letters.sort_by_key(|letter| Reverse((letter.failed_at, letter.partition, letter.offset)));
        self.letters.truncate(self.limit);
    }
}

fn table(letters: &[LetterSummary]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(TABLE_COLUMNS);
    table.set_header([
        "failed at, state",
        "tenant",
        "event type, handler",
        "outcome, attempts",
        "id, reason",
    ]);
    for letter in letters {
        let of = |text: &Option<String>| column(text.as_deref());
        table.add_row([
            format!("{}\n{}", time(letter.failed_at).replace('T', " "), letter.state),
            of(&letter.tenant),
            format!("{}\n{}", of(&letter.event_type), of(&letter.handler)),
            format!("{}\n{}", outcome(letter), number(letter.attempts)),
            format!("{}\n{}", letter.id, clean(&letter.reason, REASON_BYTES_MAX)),
        ]);
    }
    // An id on one line can be copied. The rest shares what is left.
    if let Some(ids) = table.column_mut(4) {
        ids.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(ID_COLUMNS)));
    }
    table
}

fn print_letter(letter: &DeadLetter, console: &mut Console<'_>) -> anyhow::Result<()> {
    let DeadLetter { summary, headers, payload } = letter;
    let source = &summary.source;
    let text = |text: &Option<String>| column(text.as_deref());
    let lines = [
        ("id", summary.id.clone()),
        ("state", summary.state.to_string()),
        ("dead letter", format!("partition {}, offset {}", summary.partition, summary.offset)),
        ("tenant", text(&summary.tenant)),
        ("event", format!("{} {}", text(&summary.event_type), text(&summary.event_id))),
        ("handler", text(&summary.handler)),
        ("component", text(&summary.component_digest)),
        ("outcome", outcome(summary)),
        ("reason", clean(&summary.reason, usize::MAX)),
        ("attempts", number(summary.attempts)),
        ("first failed", time(summary.first_failed_at)),
        ("failed", time(summary.failed_at)),
        (
            "last attempt",
            format!(
                "{} us, {} bytes of memory",
                number(summary.duration_us),
                number(summary.memory_peak_bytes)
            ),
        ),
        ("lane", text(&summary.lane)),
        ("group", text(&source.group)),
        (
            "source",
            format!(
                "{}/{}, partition {}, offset {}, message {}",
                text(&source.stream),
                text(&source.topic),
                number(source.partition),
                number(source.offset),
                text(&source.message_id)
            ),
        ),
    ];
    for (name, value) in lines {
        writeln!(console.out, "{:<14}{value}", format!("{name}:"))?;
    }
    writeln!(console.out, "headers:")?;
    for header in &headers.0 {
        // Most keys are texts. Of others the kind says whether two with one text are the same.
        let kind =
            if header.key_kind == "string" { String::new() } else { format!(" ({})", header.key_kind) };
        let (key, value) = (clean(&header.key, usize::MAX), clean(&header.value, usize::MAX));
        writeln!(console.out, "  {key}{kind}: {value}")?;
    }
    if let Some(dropped) = summary.headers_dropped {
        writeln!(
            console.out,
            "  and {dropped} more, which were lost because they found no room or could not be read"
        )?;
    }
    let form = if summary.payload_is_reference { "payload (a reference to the source):" } else { "payload:" };
    writeln!(console.out, "{form}")?;
    for line in payload_text(payload).lines() {
        writeln!(console.out, "{}", clean(line, usize::MAX))?;
    }
    Ok(())
}

fn outcome(letter: &LetterSummary) -> String {
    let kind = column(letter.outcome.as_deref());
    match letter.code.as_deref() {
        Some(code) => format!("{kind}: {}", column(Some(code))),
        None => kind,
    }
}

pub(super) fn column(text: Option<&str>) -> String {
    text.map_or_else(|| UNKNOWN.to_owned(), |text| clean(text, COLUMN_BYTES_MAX))
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

/// Microseconds since 1970 as a time in UTC.
pub(super) fn time(micros: Option<u64>) -> String {
    let timestamp = micros.and_then(|micros| Timestamp::from_microsecond(i64::try_from(micros).ok()?).ok());
    timestamp.map_or_else(|| UNKNOWN.to_owned(), |timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests;
