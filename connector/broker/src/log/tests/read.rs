//! Slicing: whatever is asked for, the reply holds exactly those messages in valid records.

use super::super::ReadFrom;
use super::*;

/// Twelve messages in batches of 1, 2, 3, 1, 2, 3, appended at times 0, 10, 20, …
fn mixed(settings: LogSettings) -> (TempDir, PartitionLog) {
    let (dir, mut log) = new_log(settings);
    for (round, size) in [1_u64, 2, 3, 1, 2, 3].into_iter().enumerate() {
        let first = log.bounds().next_offset;
        let names: Vec<String> = (first..first + size).map(|offset| format!("m{offset}")).collect();
        let payloads: Vec<&str> = names.iter().map(String::as_str).collect();
        append_at(&mut log, &payloads, 10 * round as u64);
    }
    (dir, log)
}

fn expected(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..to).map(|offset| (offset, format!("m{offset}"))).collect()
}

#[test]
fn every_offset_and_count_gives_exactly_those_messages() {
    for settings in [WHOLE, TINY] {
        let (_dir, log) = mixed(settings);
        for from in 0..14 {
            for count in 0..14 {
                let slice = log.read(ReadFrom::Offset(from), count, ALL).unwrap();
                assert_eq!(
                    messages(&slice),
                    expected(from, 12.min(from + u64::from(count))),
                    "{from} {count}"
                );
            }
        }
    }
}

#[test]
fn the_last_messages_are_counted_from_the_end() {
    for settings in [WHOLE, TINY] {
        let (_dir, log) = mixed(settings);
        for count in 1..14 {
            let slice = log.read(ReadFrom::Last(count), count, ALL).unwrap();
            assert_eq!(messages(&slice), expected(12_u64.saturating_sub(count.into()), 12));
        }
    }
}

#[test]
fn the_last_messages_are_found_across_a_gap() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 3);
    drop(log);
    let (mut log, _) = open(dir.path(), WHOLE, 100);
    assert_eq!(offsets(&log, ReadFrom::Last(2), 2), [1, 2]);
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Last(2), 2), [2, 100]);
    assert_eq!(offsets(&log, ReadFrom::Offset(50), ALL), [100]);
    assert_eq!(offsets(&log, ReadFrom::Offset(1), 3), [1, 2, 100]);
}

#[test]
fn a_time_gives_the_first_batch_appended_then_or_later() {
    for settings in [WHOLE, TINY] {
        let (_dir, log) = mixed(settings);
        let firsts = [(0, 0), (1, 1), (10, 1), (11, 3), (20, 3), (30, 6), (40, 7), (41, 9), (50, 9)];
        for (time, first) in firsts {
            assert_eq!(
                messages(&log.read(ReadFrom::Timestamp(time), ALL, ALL).unwrap()),
                expected(first, 12)
            );
        }
        assert!(log.read(ReadFrom::Timestamp(51), ALL, ALL).unwrap().records.is_empty());
    }
}

#[test]
fn replies_stay_in_their_bytes_but_hold_at_least_one_message() {
    for settings in [WHOLE, TINY] {
        let (_dir, log) = mixed(settings);
        for bytes_max in 0..1_500 {
            let mut next = 0;
            while next < 12 {
                let slice = log.read(ReadFrom::Offset(next), ALL, bytes_max).unwrap();
                let found = messages(&slice);
                assert_eq!(found.first().unwrap().0, next);
                assert!(found.len() == 1 || slice.records.len() <= bytes_max as usize);
                next = slice.last_offset.unwrap() + 1;
            }
        }
    }
}

#[test]
fn reads_find_their_place_in_segments_of_many_index_entries() {
    let (dir, mut log) = new_log(WHOLE);
    let filler = "x".repeat(3_000);
    for _ in 0..200 {
        append_at(&mut log, &[&filler, &filler], 0);
    }
    append_at(&mut log, &[&"y".repeat(200_000)], 0);
    append_singles(&mut log, 3);
    check_places(&log);
    drop(log);
    check_places(&open(dir.path(), WHOLE, 0).0);
    drop(open(dir.path(), WHOLE, 1_000));
    let (log, recovery) = open(dir.path(), WHOLE, 0);
    assert_eq!((log.bounds().segments, recovery), (2, Recovery::default()));
    check_places(&log);
}

fn check_places(log: &PartitionLog) {
    for from in 0..404 {
        assert_eq!(offsets(log, ReadFrom::Offset(from), 1), [from]);
    }
    let slice = log.read(ReadFrom::Offset(7), ALL, 100_000).unwrap();
    assert!((90_000..=100_000).contains(&slice.records.len()), "{}", slice.records.len());
    assert_eq!(read_all(log).len(), 404);
}
