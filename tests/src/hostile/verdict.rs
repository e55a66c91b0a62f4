//! How each fixture must end: `verdicts.yaml` of the corpus, and the run of a fixture against it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guesthouse::trial::{Trial, TrialComponent, TrialEvent, TrialHandler, TrialOutcome};
use guesthouse::{
    AdmissionError, Grants, GuestConfig, GuestLimits, HandlerName, HttpGrant, HttpHost, Isolation,
};
use serde::Deserialize;

use crate::hostile::fixture;

/// What is to run out of time gets this much of it.
const SHORT: Duration = Duration::from_millis(100);
/// What is to end by itself gets so much that it is not stopped before, however busy the machine is.
const LONG: Duration = Duration::from_secs(10);

/// What no text that leaves a guest may contain.
pub(crate) const SECRET: &str = "sk-6fd0a91c\"e27b\\5348";

/// The hosts that may be called: names that nobody looks up, and a port where nobody answers.
const HTTP_HOSTS: [&str; 3] = ["http://listed.example.com", "https://api.example.com", "http://127.0.0.1:1"];

/// Longest reason of an outcome, with the name of its code before it.
const REASON_BYTES_MAX: usize = 1024 + 32;

const TIMED_OUT: &str = "timed-out";

/// All verdicts, by the name of their test.
pub type Verdicts = BTreeMap<String, Verdict>;

/// What is known of one case of the threat table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Verdict {
    /// The row of the threat table, such as `A1`.
    pub case: String,
    /// What the attack is.
    pub does: String,
    /// The file of the fixture in the corpus.
    pub fixture: Option<String>,
    /// Whether the fixture is handed over as it is, and not as a component.
    #[serde(default)]
    pub as_text: bool,
    /// Type of the event, by which some fixtures choose what to do.
    pub event: Option<String>,
    /// What its handler is granted.
    #[serde(default)]
    pub grants: Vec<String>,
    /// How many bytes the state store keeps for it, if not as many as usual.
    pub stored_bytes_max: Option<u64>,
    /// How long its guests live.
    #[serde(default)]
    pub isolation: Lives,
    /// How it ends when an event reaches it: kind, or kind and code with a slash between.
    pub outcome: Option<String>,
    /// What the reason contains.
    pub reason: Option<String>,
    /// How many lines reach the log.
    pub lines: Option<usize>,
    /// What the refusal contains, of a component that is not admitted.
    pub refused: Option<String>,
    /// Other tests that look after this case, as `file::function`, and why it has no fixture.
    #[serde(default)]
    pub covered_by: Vec<String>,
    /// Why the case cannot happen here.
    pub not_applicable: Option<String>,
}

/// How long the guests of a fixture live.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lives {
    /// For many events.
    #[default]
    Reuse,
    /// For one.
    Fresh,
}

/// How a fixture ended.
#[derive(Debug)]
pub enum Ending {
    /// It was not admitted, for this reason.
    Refused(String),
    /// An event reached it, with this outcome.
    Ended(TrialOutcome),
}

/// The verdicts of the corpus.
pub fn all() -> Verdicts {
    serde_saphyr::from_str(&fixture::read("verdicts.yaml"))
        .unwrap_or_else(|error| panic!("verdicts.yaml: {error}"))
}

impl Verdict {
    /// The bytes of the fixture, if the case has one.
    pub fn bytes(&self) -> Option<Bytes> {
        let file = self.fixture.as_deref()?;
        Some(if self.as_text { fixture::read(file).into() } else { fixture::component(file) })
    }

    /// The handler of a fixture, by the name of its test.
    pub fn handler(&self, test: &str) -> TrialHandler {
        let deadline = if self.runs_out_of_time() { SHORT } else { LONG };
        let usual = GuestLimits::default();
        let state_stored_bytes_max = self.stored_bytes_max.unwrap_or(usual.state_stored_bytes_max);
        let limits = GuestLimits { deadline, state_stored_bytes_max, ..usual };
        let isolation = match self.isolation {
            Lives::Reuse => Isolation::Reuse,
            Lives::Fresh => Isolation::Fresh,
        };
        TrialHandler { grants: self.grants(), limits, isolation, ..handler(test) }
    }

    /// The event that the fixture gets.
    pub fn event(&self) -> TrialEvent {
        TrialEvent::new(self.event.as_deref().unwrap_or("hostile.event"), "{}")
    }

    /// Whether it ends by running out of time.
    pub fn runs_out_of_time(&self) -> bool {
        let ending = self.outcome.as_ref().or(self.refused.as_ref());
        ending.is_some_and(|ending| ending.contains(TIMED_OUT))
    }

    /// Admits the fixture and hands it one event.
    pub async fn run(&self, trial: &Trial, handler: TrialHandler, bytes: Bytes) -> Ending {
        self.run_admitted(trial.admit(handler, bytes).await).await
    }

    async fn run_admitted(&self, admitted: Result<TrialComponent, AdmissionError>) -> Ending {
        match admitted {
            Err(error) => Ending::Refused(error.to_string()),
            Ok(component) => Ending::Ended(only(component.call(&[self.event()]).await.outcomes)),
        }
    }

    /// Ends the test unless the fixture ended as it must.
    pub fn check(&self, test: &str, ending: &Ending) {
        let fits = match ending {
            Ending::Refused(text) => self.refused.as_ref().is_some_and(|refused| text.contains(refused)),
            Ending::Ended(outcome) => {
                let reason = self.reason.as_deref().unwrap_or_default();
                self.outcome.as_deref() == Some(&*named(outcome))
                    && outcome.reason.contains(reason)
                    && outcome.reason.len() <= REASON_BYTES_MAX
            }
        };
        assert!(!format!("{ending:?}").contains(SECRET), "{test} betrayed its secret: {ending:?}");
        assert!(fits, "{test} ended otherwise than its verdict says.\nended: {ending:?}\nverdict: {self:?}");
    }

    fn grants(&self) -> Grants {
        let mut grants = Grants::default();
        for grant in &self.grants {
            match &**grant {
                "log" => grants.log = true,
                "random" => grants.random = true,
                "state" => grants.state = true,
                "config" => grants.config = Some(Arc::new(config())),
                "http" => grants.http = Some(Arc::new(HttpGrant { hosts: HTTP_HOSTS.map(host).into() })),
                other => panic!("verdicts.yaml: no grant `{other}`"),
            }
        }
        grants
    }
}

/// What handlers with the grant find in their configuration.
fn config() -> GuestConfig {
    GuestConfig::new(BTreeMap::new(), BTreeMap::from([("api-key".to_owned(), SECRET.into())]))
}

fn host(url: &str) -> HttpHost {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// A handler with the usual limits, nothing granted.
pub fn handler(test: &str) -> TrialHandler {
    let name = HandlerName::new(&test.replace('_', "-")).unwrap_or_else(|error| panic!("{error}"));
    TrialHandler::new(name)
}

/// The outcome of a call with one event.
pub fn only(outcomes: Vec<TrialOutcome>) -> TrialOutcome {
    let mut outcomes = outcomes.into_iter();
    match (outcomes.next(), outcomes.next()) {
        (Some(outcome), None) => outcome,
        (first, second) => panic!("expected one outcome, got {first:?} and {second:?}"),
    }
}

fn named(outcome: &TrialOutcome) -> String {
    match outcome.code {
        "" => outcome.kind.to_owned(),
        code => format!("{}/{code}", outcome.kind),
    }
}
