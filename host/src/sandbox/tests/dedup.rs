//! Handlers with a dedup window: which events of a call run, and what is answered for the others.

use super::*;
use crate::dedup::DedupWindow;
use crate::identity::EventIdentity;
use crate::state::StateSettings;
use crate::state::key::MarkPlace;

/// An event of an id at an offset.
fn at(id: &str, offset: u64) -> CallEvent {
    let mut event = event(id, "shop-a");
    event.message.source.offset.0 = offset;
    call_event(event, 0)
}

async fn run(
    kit: &mut Kit,
    component: &Arc<AdmittedComponent>,
    events: &[CallEvent],
) -> Vec<(usize, Answer)> {
    let call = GuestCall { events: events.to_vec(), ..kit.call(component, "shop-a", &[]) };
    kit.sandbox.submit(call).unwrap();
    let report = kit.reports.recv().await.unwrap();
    let CallResult::Answered(answers) = report.result else { panic!("{report:?}") };
    answers
}

/// What was handled before at an offset, with so many emits that may not be confirmed.
fn expect_before(answer: &Answer, copy: &CallEvent, emits: usize) {
    let Answer::DoneBefore(before) = answer else { panic!("{answer:?}") };
    assert_eq!((before.identity, before.emits.len()), (EventIdentity::of(&copy.event.message), emits));
}

#[tokio::test]
async fn an_event_runs_once_whichever_copy_of_it_comes() {
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let mut kit = Kit::new();
        let directory = tempfile::tempdir().unwrap();
        let settings = StateSettings::Embedded { path: directory.path().join("state.redb") };
        let store = kit.sandbox.open_state(&settings).unwrap();
        let dedup = Some(DedupWindow { events_max: 10, age_max: None });
        let component = kit.sandbox.admit(GuestSpec { dedup, ..spec() }, actor(&[export])).await.unwrap();
        assert_eq!(component.pool(), Pool::Waiting, "its calls wait for the disk");

        // In a batch the guest of these tests does what the first of its events says, about that one.
        let first = [at("emit", 1), at("done", 2), at("emit", 3), at("number", 4)];
        let answers = run(&mut kit, &component, &first).await;
        let Some((0, Answer::Ended(Outcome::Done(emits)))) = answers.first() else { panic!("{answers:?}") };
        assert_eq!(emits.len(), 1);
        assert_eq!(answers[1..], [(2, Answer::NotRun), (3, Answer::NotRun)], "after a copy in the same call");

        let second = [at("emit", 3), at("done", 2), at("done", 5), at("number", 4)];
        let answers = run(&mut kit, &component, &second).await;
        expect_before(&answers[0].1, &first[0], 1);
        expect_before(&answers[1].1, &first[1], 0);
        expect_before(&answers[2].1, &first[1], 0);
        let (runs, runs_after) = if export == EXPORT_BATCH { ("A2", "A3") } else { ("A3", "A4") };
        assert_eq!(answers[3], (3, Answer::Ended(reject(runs))), "no guest was given the others");
        let answers = run(&mut kit, &component, &[at("number", 4)]).await;
        assert_eq!(answers, [(0, Answer::Ended(reject(runs_after)))], "what was not handled runs again");

        store.forget_marks(&MarkPlace::new("fixture", "rustok", "domain", 5), u64::MAX).unwrap();
        let answers = run(&mut kit, &component, &[at("emit", 3), at("emit", 1)]).await;
        expect_before(&answers[0].1, &first[0], 0);
        let again = matches!(&answers[1], (1, Answer::Ended(Outcome::Done(emits))) if emits.len() == 1);
        assert!(
            again,
            "its own mark was forgotten when it was committed, so it came back on purpose: {answers:?}"
        );
    }
}

#[tokio::test]
async fn without_a_store_nothing_runs() {
    let mut kit = Kit::new();
    let dedup = Some(DedupWindow { events_max: 10, age_max: None });
    let component = kit.sandbox.admit(GuestSpec { dedup, ..spec() }, actor(&[EXPORT_BATCH])).await.unwrap();
    let report = kit.run(&component, "shop-a", &[("done", 0), ("done", 0)]).await;
    let CallResult::Failed(Outcome::HostFault { reason }) = report.result else { panic!("{report:?}") };
    assert_eq!(reason, "no state store is open");
}
