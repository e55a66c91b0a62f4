//! `guesthouse dlq resolve` and `reopen`: say of dead letters that they were dealt with, or are to be dealt with.

use clap::Args;

use super::selection::{SelectedLetters, Selection};
use super::{Console, Environment};
use crate::cli::{ConfigArgs, connection};
use crate::dead_letter::LetterState;

#[derive(Debug, Args)]
pub(in crate::cli) struct StateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    selection: Selection,
}

/// Gives the letters that are meant a state. `--all` means those in one of the `usual` states.
pub(super) async fn set_state(
    args: StateArgs,
    (state, usual): (LetterState, &'static [LetterState]),
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let connector = connection::open(&config).await?;
    let dry_run = args.selection.dry_run;
    let done = async {
        let mut selected = SelectedLetters::open(connector.as_ref(), &config, args.selection, usual).await?;
        let mut changed: u64 = 0;
        while let Some(page) = selected.next_page().await? {
            let ids: Vec<u128> = page.iter().map(|found| found.message.id).collect();
            if !dry_run && !ids.is_empty() {
                changed += ids.len() as u64;
                selected.letters.states.write(state, ids).await?;
            }
        }
        writeln!(console.out, "{} dead letters, {changed} set to {state}", selected.found)?;
        selected.finish(console)
    };
    let done = done.await;
    connection::close(connector.as_ref(), done).await
}
