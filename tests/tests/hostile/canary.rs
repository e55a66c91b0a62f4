//! Goal: no guest finds what another left behind. Method: one tenant's guest fills all it has with a pattern and ends
//! in every way there is; another tenant's guests search all that they can read.

use std::time::Duration;

use guesthouse::trial::{Trial, TrialComponent, TrialEvent};
use guesthouse::{GuestLimits, Isolation};
use guesthouse_tests::hostile::fixture;
use guesthouse_tests::hostile::verdict::{self, only};

use crate::runs;
use crate::site::Site;

const CANARY: &str = "b13-canary.wat";
/// Alternations of writing and searching for each run of a fixture.
const ALTERNATIONS: usize = 10;
/// Enough to write the pattern, and not much more, for one way to end is to run out of it.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn nothing_of_another_tenant_is_found() {
    let site = Site::start().await;
    let kept = canary(&site.trial, LONG, Isolation::Reuse).await;
    let fresh = canary(&site.trial, LONG, Isolation::Fresh).await;
    let short = canary(&site.trial, SHORT, Isolation::Fresh).await;
    let ways = [
        (&kept, "write", "done"),
        (&fresh, "write", "done"),
        (&fresh, "trap", "trapped"),
        (&short, "loop", "timed-out"),
    ];
    for (n, (writer, way, end)) in (0..runs() * ALTERNATIONS).zip(ways.into_iter().cycle()) {
        let written = only(writer.call(&[event(way, "writer")]).await.outcomes);
        assert_eq!(written.kind, end, "alternation {n}: {written:?}");
        // One guest is new, the other was there before and belongs to the component of a writer.
        for searcher in [&fresh, &kept] {
            let found = only(searcher.call(&[event("search", "searcher")]).await.outcomes);
            assert!(found.is_done(), "alternation {n}, after `{way}`: {found:?}");
        }
    }
}

#[tokio::test]
async fn the_search_finds_what_is_there() {
    let canary = canary(&Site::start().await.trial, LONG, Isolation::Reuse).await;
    for (event_type, kind, reason) in
        [("search", "done", ""), ("write", "done", ""), ("search", "reject", "found mt-")]
    {
        let outcome = only(canary.call(&[event(event_type, "writer")]).await.outcomes);
        assert_eq!((outcome.kind, &*outcome.reason), (kind, reason), "{event_type}");
    }
}

async fn canary(trial: &Trial, deadline: Duration, isolation: Isolation) -> TrialComponent {
    let limits = GuestLimits { deadline, ..GuestLimits::default() };
    let handler = guesthouse::trial::TrialHandler { limits, isolation, ..verdict::handler("canary") };
    trial.admit(handler, fixture::component(CANARY)).await.unwrap()
}

fn event(event_type: &str, tenant: &str) -> TrialEvent {
    TrialEvent::new(event_type, "{}").of_tenant(tenant)
}
