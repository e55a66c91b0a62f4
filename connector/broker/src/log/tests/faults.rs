//! One operation fails, once or for ever, at every place where one can. What was acknowledged is there after the next
//! start, and no offset is given twice.

use super::super::SyncTicket;
use super::super::file::fault::{FAILING, Failing, STEPS};
use super::*;

/// What a log said while operations failed.
#[derive(Debug, Default)]
struct Said {
    /// Offsets that were acknowledged, with what they carry.
    appended: Vec<(u64, String)>,
    /// Everything below may be gone on purpose.
    dropped_end: u64,
    /// Calls that failed.
    refused: usize,
}

impl Said {
    fn append(&mut self, log: &mut PartitionLog, name: &str) {
        match log.append(PARTITION, &batch(&[name]), 1, 5) {
            Ok(appended) => self.appended.push((appended.base_offset, name.to_owned())),
            Err(_) => self.refused += 1,
        }
    }

    fn note<T, E>(&mut self, done: &Result<T, E>) {
        self.refused += usize::from(done.is_err());
    }
}

/// A short life with every kind of operation in it.
fn live(dir: &Path, settings: LogSettings) -> Said {
    let mut said = Said::default();
    let mut log = match PartitionLog::open(dir, settings, 0) {
        Ok((log, _)) => log,
        Err(_) => {
            said.refused += 1;
            return said;
        }
    };
    for round in 0..12 {
        said.append(&mut log, &format!("n{round}"));
        if round % 4 == 1 {
            said.note(&SyncTicket::wait(&log.sync()));
        }
        if round == 7 {
            said.dropped_end = log.bounds().next_offset;
            said.note(&log.delete_segments(1));
        }
        if round == 9 {
            said.dropped_end = log.bounds().next_offset;
            said.note(&log.purge());
        }
    }
    said
}

#[test]
fn a_failing_operation_anywhere_loses_nothing_that_was_acknowledged() {
    // Nothing here waits for the real disk.
    STEPS.set(Some(Vec::new()));
    [TINY, PREALLOCATED].into_iter().for_each(fail_everywhere);
    STEPS.set(None);
}

fn fail_everywhere(settings: LogSettings) {
    let mut places = 0;
    for place in 0.. {
        let outcomes =
            [Failing::Once(place), Failing::From(place)].map(|failing| expect_kept(settings, failing));
        if outcomes.iter().all(|said| said.refused == 0) {
            places = place;
            break;
        }
    }
    // One for each append, and those around syncs and segments.
    assert!(places > 20, "{places}");
}

fn expect_kept(settings: LogSettings, failing: Failing) -> Said {
    let dir = tempfile::tempdir().unwrap();
    FAILING.set(failing);
    let said = live(dir.path(), settings);
    FAILING.set(Failing::None);
    let (mut log, recovery) = open(dir.path(), settings, 0);
    assert_eq!(recovery.damage, [], "{failing:?}");
    let found = read_all(&log);
    for message in said.appended.iter().filter(|(offset, _)| *offset >= said.dropped_end) {
        assert!(found.contains(message), "{failing:?} lost {message:?}: {found:?}");
    }
    let mut offsets: Vec<u64> = said.appended.iter().map(|(offset, _)| *offset).collect();
    offsets.push(append_at(&mut log, &["after"], 9).base_offset);
    assert!(offsets.is_sorted_by(|a, b| a < b), "{failing:?} gave an offset twice: {offsets:?}");
    said
}
