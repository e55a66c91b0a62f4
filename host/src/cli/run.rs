//! `guesthouse run`: runs a host until a signal, and tells a file what it counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::signals::Signals;
use super::{ConfigArgs, Environment};
use crate::counters::Counters;
use crate::host::Host;

/// How often the report is written.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Writing it takes at most one part in so many of the time: the report of many thousands of handlers is written less
/// often.
const REPORT_SHARE: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write what is counted to this file as JSON, every second and in the end.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) async fn run(args: RunArgs, environment: Environment) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let report = args.report.as_deref();
    // A report that cannot be written is better known before anything runs.
    write_report(report, &Counters::default()).await?;
    // From here on a signal stops the host in order, even before it runs.
    let mut signals = Signals::listen()?;
    let host = tokio::select! {
        host = Host::builder().config(config).build() => host?,
        () = signals.next() => {
            tracing::info!("stopped by a signal before anything was read");
            return Ok(());
        }
    };
    let counters = serve(host, &mut signals, report).await?;
    write_report(report, &counters).await
}

/// Runs the host. The first signal lets it drain, the second one ends it at once.
async fn serve(host: Host, signals: &mut Signals, report: Option<&Path>) -> anyhow::Result<Counters> {
    let handle = host.handle();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    // A sender that is gone without a word has been used: both mean stop.
    let running = host.run(async { drop(stopped.await) });
    tokio::pin!(running);
    let mut is_report_late = false;
    let mut report_due = interval(REPORT_EVERY);
    report_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = &mut running => return Ok(ended?.counters),
            () = signals.next() => match stop.take() {
                Some(stop) => drop(stop.send(())),
                None => bail!("ended at once by a second signal; what was not committed will be read again"),
            },
            _ = report_due.tick(), if report.is_some() => {
                let began = Instant::now();
                let written = write_report(report, &handle.counters()).await;
                let was_late = std::mem::replace(&mut is_report_late, written.is_err());
                match written {
                    Err(error) if !was_late => {
                        tracing::warn!(error = format!("{error:#}"), "the report is out of date; it is tried again each second");
                    }
                    Ok(()) if was_late => tracing::info!("the report is up to date again"),
                    _ => {}
                }
                report_due.reset_after(REPORT_EVERY.max(began.elapsed() * REPORT_SHARE));
            }
        }
    }
}

/// Replaces the report as a whole, so that a reader never sees half of one.
async fn write_report(file: Option<&Path>, counters: &Counters) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let text = serde_json::to_vec_pretty(counters)?;
    let written = async {
        tokio::fs::write(&beside, text).await?;
        tokio::fs::rename(&beside, file).await
    };
    written.await.with_context(|| format!("cannot write the report {}", file.display()))
}
