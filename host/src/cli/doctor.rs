//! `guesthouse doctor`: examines the data directory of an embedded broker that does not run.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use guesthouse_broker::{Diagnosis, Severity, examine};

use super::{AskedWrongly, Console};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The data directory.
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Something is damaged.
#[derive(Debug, thiserror::Error)]
#[error("{} is damaged; see above", data_dir.display())]
struct Damaged {
    data_dir: PathBuf,
}

/// Prints what was found. What the next start puts right is no failure.
pub(super) async fn doctor(args: DoctorArgs, console: &mut Console<'_>) -> anyhow::Result<()> {
    let data_dir = args.data_dir.clone();
    if !data_dir.is_dir() {
        let found = if data_dir.exists() { "is no directory" } else { "does not exist" };
        bail!(AskedWrongly(format!(
            "{} {found}; expected the data directory of a broker",
            data_dir.display()
        )));
    }
    // Reads everything, which may take a while and blocks.
    let examined = tokio::task::spawn_blocking(move || examine(&data_dir)).await;
    let diagnosis = examined.context("the examination failed, which is a bug")??;
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &diagnosis)?;
        writeln!(console.out)?;
    } else {
        print(&diagnosis, console)?;
    }
    console.out.flush()?;
    if diagnosis.worst() >= Some(Severity::Damage) {
        return Err(Damaged { data_dir: args.data_dir }.into());
    }
    Ok(())
}

fn print(diagnosis: &Diagnosis, console: &mut Console<'_>) -> anyhow::Result<()> {
    let Diagnosis { streams, topics, partitions, messages, bytes, offsets, users, .. } = diagnosis;
    let format = diagnosis.format.map_or("unknown".to_owned(), |format| format.to_string());
    writeln!(console.out, "format {format}, {streams} streams, {topics} topics, {partitions} partitions")?;
    writeln!(console.out, "{messages} messages, {bytes} bytes, {offsets} stored offsets, {users} users")?;
    for finding in &diagnosis.findings {
        let word = match finding.severity {
            Severity::Note => "note",
            Severity::Repair => "repair",
            Severity::Damage => "damage",
            Severity::Offline => "offline",
            Severity::Fatal => "fatal",
        };
        writeln!(console.out, "{word:8} {}: {}", finding.path.display(), finding.text)?;
    }
    let verdict = match diagnosis.worst() {
        None | Some(Severity::Note) => "nothing is wrong",
        Some(Severity::Repair) => "the next start puts this right by itself",
        Some(Severity::Damage | Severity::Offline) => "the broker starts, and what is damaged is refused",
        Some(Severity::Fatal) => "the broker would not start",
    };
    Ok(writeln!(console.out, "{verdict}")?)
}
