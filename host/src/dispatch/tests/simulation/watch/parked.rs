//! What a host publishes, and what it does about lanes that stop: dead letters and records of parked partitions.

use super::*;
use crate::parked::{Content, Control, Head, Kind, ParkedEvent};

impl Watch {
    /// The host knows the records of a parked partition up to here.
    pub(in super::super) fn heard(&mut self, partition: usize, next: u64) {
        self.heard.insert(partition, next);
    }

    /// I-10: an event goes into a guest for the right time, and nobody had given it up before.
    pub(super) fn case_runs(&mut self, errand: Errand, (attempt, stand): (u32, Stand), oracle: &Oracle) {
        let attempts_max = self.config(errand.1.unwrap()).retry.attempts_max;
        let known_to = self.heard.get(&errand.0.0).copied().unwrap_or_default();
        let dropped_at = oracle.dropped_at(errand);
        assert!(dropped_at.is_none_or(|at| at >= known_to), "{errand:?} runs and was dropped");
        if let Stand::Parked(place) = stand {
            let case = self.cases.entry(errand).or_default();
            if case.run != Some(place.run) {
                let failures = attempt - 1;
                let waited = [0, oracle.waited(errand)];
                assert!(waited.contains(&failures), "I-10: {errand:?} is released at attempt {attempt}");
                let deaths = self.deaths.get(&errand).copied().unwrap_or_default();
                *case = Case {
                    failures,
                    is_alone: deaths > 0,
                    deaths: deaths.saturating_sub(oracle.forgiven(errand)),
                    run: Some(place.run),
                    ..Case::default()
                };
            }
        }
        assert_eq!(attempt, self.cases[&errand].failures + 1, "I-10: {errand:?}");
        assert!(attempt <= attempts_max, "I-10: {errand:?} at attempt {attempt}");
    }

    /// Messages are to be published together: each was called for, and of records there are the right ones.
    pub(in super::super) fn publishes(
        &mut self,
        subjects: &[Subject],
        records: &[(usize, Content)],
        (oracle, now): (&mut Oracle, Instant),
    ) {
        match (subjects, records) {
            ([Subject::Letter(errand)], _) => self.buries(*errand, records, (oracle, now)),
            ([Subject::Emit(..), ..], []) => self.emits(subjects),
            ([], [(at, Content::Event(_, event))]) => self.shelves((*at, event), oracle),
            ([], [(_, Content::Control(_, Control::Done { .. }))]) => {}
            _ => panic!("what are {subjects:?} with {records:?}"),
        }
    }

    fn emits(&mut self, subjects: &[Subject]) {
        for subject in subjects {
            let Subject::Emit(errand, index) = *subject else { panic!("{subject:?} comes with emits") };
            assert!(index > 0 || self.was_expected(errand), "I-11: emits of {errand:?} come unasked");
        }
    }

    /// An event waits behind another, or for an attempt that is far away.
    fn shelves(&mut self, (at, event): (usize, &ParkedEvent), oracle: &mut Oracle) {
        let errand = errand_of(at, event);
        let handler = errand.1.unwrap();
        assert!(!self.setting.is_simple(handler), "{errand:?} is parked, and must not be");
        let lane = oracle.lane(errand).clone();
        match event.kind {
            Kind::Behind => drop(self.cases.remove(&errand)),
            Kind::Waiting { attempts, .. } => {
                let case = self.cases.remove(&errand).expect("it has run");
                assert_eq!(case.failures, attempts, "I-10: {errand:?} waits with its attempts");
                oracle.waits(errand, attempts);
                self.lanes.entry(lane).or_default().rest(None);
            }
            Kind::Dead => assert!(oracle.has_letter(errand), "I-1: {errand:?} is parked before its letter"),
            Kind::Blocked => panic!("{errand:?} is blocked without a letter"),
        }
    }

    /// An event is given up. Its lane goes on or stops, as the policy says.
    fn buries(
        &mut self,
        errand: Errand,
        records: &[(usize, Content)],
        (oracle, now): (&mut Oracle, Instant),
    ) {
        let (place, Some(handler)) = errand else {
            assert!(self.was_expected(errand), "I-4: a letter of {errand:?} comes unasked");
            return;
        };
        self.has_reason_to_bury(errand, oracle, now);
        let lane = oracle.lane(errand).clone();
        let policy = self.config(handler).on_failure;
        let kind = match records {
            [] => None,
            [(at, Content::Event(_, event))] if errand_of(*at, event) == errand => Some(event.kind),
            _ => panic!("{errand:?} is given up with {records:?}"),
        };
        let state = self.lanes.entry(lane.clone()).or_default();
        let is_simple = self.setting.is_simple(handler);
        assert!(!is_simple || state.open.front() == Some(&place), "I-5: {lane:?} loses its head alone");
        match (policy, kind) {
            (FailurePolicy::Block, Some(Kind::Blocked)) => {
                state.blocked_at = Some(place);
                oracle.tally.blocked += 1;
                return;
            }
            (FailurePolicy::Skip, None) => oracle.given_up(errand),
            // Its record follows when the letter is confirmed.
            (FailurePolicy::Park, None) => {}
            (FailurePolicy::Block, None) if !is_simple => {}
            _ => panic!("{errand:?} is given up with {kind:?} where the policy is {policy:?}"),
        }
        if is_simple {
            state.open.pop_front();
        }
        state.rest(None);
        self.cases.remove(&errand);
        self.forget_empty_lanes();
    }

    fn has_reason_to_bury(&mut self, errand: Errand, oracle: &mut Oracle, now: Instant) {
        let handler = errand.1.unwrap();
        let deaths = self.deaths.get(&errand).copied().unwrap_or_default();
        let deaths = deaths.saturating_sub(oracle.forgiven(errand));
        let is_condemned = deaths > 0 && deaths >= self.setting.deaths_max;
        let age_max = self.config(handler).retry.age_max;
        let first_failed = self.cases.get(&errand).and_then(|case| case.first_failed);
        let is_old = first_failed.zip(age_max).is_some_and(|(since, max)| now - since >= max);
        // What has waited in the parked log is as old as its record says.
        let may_be_old = age_max.is_some() && oracle.waited(errand) > 0;
        assert!(
            self.was_expected(errand) || is_condemned || is_old || may_be_old,
            "I-4: {errand:?} is given up without a reason: {:?}",
            self.cases.get(&errand)
        );
        oracle.tally.dead += 1;
        oracle.tally.condemned += u64::from(is_condemned);
    }

    /// Lanes of a partition that were blocked go on, for the host has heard a command about them.
    pub(in super::super) fn unblocked(&mut self, errand: Errand, head: Head, oracle: &Oracle) {
        let lane = oracle.lane(errand);
        let state = self.lanes.get_mut(lane).expect("it is blocked");
        assert_eq!(state.blocked_at.take(), Some(errand.0), "{lane:?} goes on that was not blocked there");
        match head {
            Head::Retry => {
                let case = self.cases.get_mut(&errand).expect("it was read");
                (case.failures, case.first_failed) = (0, None);
                (case.is_alone, case.deaths) = (case.is_alone || case.deaths > 0, 0);
            }
            Head::Skip => {
                self.cases.remove(&errand);
                if self.setting.is_simple(errand.1.unwrap()) {
                    assert_eq!(state.open.pop_front(), Some(errand.0), "I-5: {lane:?} loses its head alone");
                }
            }
        }
        self.forget_empty_lanes();
    }
}

/// The event of a record.
fn errand_of(partition: usize, event: &ParkedEvent) -> Errand {
    let handler = event.handler.trim_start_matches("handler-").parse().unwrap();
    ((partition, event.source.0), Some(handler))
}
