//! Which dead letters a command deals with, found page by page.

use std::collections::HashSet;

use anyhow::bail;
use clap::{ArgGroup, Args};
use guesthouse_connector::IggyConnector;
use uuid::Uuid;

use super::letters::{FoundLetter, Letters};
use super::{Console, LetterFilter, letter_id};
use crate::config::Config;
use crate::dead_letter::LetterState;

/// Which dead letters are meant: those that are named, in whatever state they are, or all that filters leave.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["ids", "all"]).required(true)))]
pub(super) struct Selection {
    /// Ids of dead letters, as `dlq list` prints them, in whatever state they are.
    #[arg(value_name = "ID", value_parser = letter_id, conflicts_with_all = ["tenant", "handler", "outcome", "state"])]
    ids: Vec<Uuid>,
    /// All that the filters leave; without `--state`, those that are still to be dealt with.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: LetterFilter,
    /// Only say how many it would be.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// The letters of a selection, as the reading comes to them.
pub(super) struct SelectedLetters<'a> {
    pub(super) letters: Letters<'a>,
    selection: Selection,
    /// States that `--all` means when no other is asked for.
    usual: &'static [LetterState],
    /// Ids that are still to be found.
    missing: HashSet<u128>,
    named: usize,
    /// Letters that were selected.
    pub(super) found: u64,
    /// Letters that only their state kept from it.
    pub(super) in_other_state: u64,
}

impl<'a> SelectedLetters<'a> {
    /// Begins to look for them.
    pub(super) async fn open(
        connector: &'a dyn IggyConnector,
        config: &Config,
        selection: Selection,
        usual: &'static [LetterState],
    ) -> anyhow::Result<Self> {
        let letters = Letters::open(connector, config, "dead letters").await?;
        if !selection.dry_run {
            letters.states.make_topic().await?;
        }
        let missing: HashSet<u128> = selection.ids.iter().map(Uuid::as_u128).collect();
        let named = missing.len();
        Ok(Self { letters, selection, usual, missing, named, found: 0, in_other_state: 0 })
    }

    /// Those of the next page, perhaps none of it; `None` when there can be no more.
    pub(super) async fn next_page(&mut self) -> anyhow::Result<Option<Vec<FoundLetter>>> {
        if !self.selection.all && self.missing.is_empty() {
            return Ok(None);
        }
        let Some(page) = self.letters.next_page().await? else { return Ok(None) };
        let mut in_page = HashSet::new();
        let mut selected = Vec::new();
        for found in page {
            // A letter can lie in the topic twice, and is dealt with once.
            if self.is_meant(&found) && in_page.insert(found.message.id) {
                selected.push(found);
            }
        }
        self.found += selected.len() as u64;
        Ok(Some(selected))
    }

    /// Tells what was left out.
    ///
    /// # Errors
    /// When letters that were named are not there.
    pub(super) fn finish(&self, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.letters.report_unreadable(console)?;
        if self.in_other_state > 0 {
            writeln!(console.err, "left out {} dead letters because of their state", self.in_other_state)?;
        }
        if !self.missing.is_empty() {
            bail!("{} of {} ids are those of no dead letter", self.missing.len(), self.named);
        }
        Ok(())
    }

    fn is_meant(&mut self, found: &FoundLetter) -> bool {
        let summary = &found.letter.summary;
        if !self.selection.all {
            return self.missing.remove(&found.message.id);
        }
        if !self.selection.filter.wants(summary) {
            return false;
        }
        let fits = self.selection.filter.has_state() || self.usual.contains(&summary.state);
        self.in_other_state += u64::from(!fits);
        fits
    }
}
