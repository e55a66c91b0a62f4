//! Goal: what a guest keeps is its tenant's and its handler's alone. Method: one leaves something, others look for it.

use guesthouse::trial::{TrialComponent, TrialEvent};
use guesthouse_tests::hostile::fixture;
use guesthouse_tests::hostile::verdict::{self, only};

use crate::site::Site;

#[tokio::test]
async fn nobody_reads_the_state_of_others() {
    let site = Site::start().await;
    let [mine, other] = ["mine", "other"].map(|name| {
        let mut handler = verdict::handler(name);
        handler.grants.state = true;
        site.trial.admit(handler, fixture::component("hoarder.wasm"))
    });
    let (mine, other) = (mine.await.unwrap(), other.await.unwrap());
    assert!(only(mine.call(&[event("leave", "a")]).await.outcomes).is_done());
    assert_eq!(look(&mine, "a").await, "mine Ok(Some([49])), 1 keys");
    for (component, tenant) in [(&mine, "b"), (&mine, "A"), (&mine, ""), (&other, "a")] {
        assert_eq!(look(component, tenant).await, "mine Ok(None), 0 keys", "tenant `{tenant}`");
    }
}

async fn look(component: &TrialComponent, tenant: &str) -> String {
    only(component.call(&[event("look", tenant)]).await.outcomes).reason
}

fn event(event_type: &str, tenant: &str) -> TrialEvent {
    TrialEvent::new(event_type, "{}").of_tenant(tenant)
}
