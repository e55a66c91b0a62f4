//! The observer: asks the broker every few seconds what the host cannot know by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use guesthouse_connector::{
    ConnectorError, ConsumerGroupManager, GroupAddress, GroupPosition, IggyConnector, TopicReport, TopicSpec,
    TopologyManager,
};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::HealthSettings;
use super::trend::{Growth, Progress, Stuck};
use crate::subscription::View;
use crate::trouble::Troubles;

/// How often the observer looks whether the host has joined its groups, before its first look at the broker.
const JOIN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What one look at the broker showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observation {
    /// When it ended, in microseconds since 1970; none when there was no look yet.
    pub(crate) at_micros: Option<u64>,
    /// Why it could not be finished.
    pub(crate) error: Option<ConnectorError>,
    /// The topics that are not as configured.
    pub(crate) drift: Vec<TopicReport>,
    /// How each subscription is in each of its topics.
    pub(crate) readers: Vec<Reader>,
    /// Dead letters that each subscription made within the window, in their order.
    pub(crate) dead_letters: Vec<u64>,
}

/// How a subscription is in one of its topics.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) subscription: String,
    pub(crate) group: GroupAddress,
    pub(crate) position: GroupPosition,
    pub(crate) stuck: Vec<Stuck>,
}

/// Looks, again and again.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) settings: HealthSettings,
    pub(crate) connector: Arc<dyn IggyConnector>,
    pub(crate) topology: TopologyManager,
    /// The stream and its topics as configured: what is missing of them is made again.
    pub(crate) stream: String,
    pub(crate) topics: Vec<TopicSpec>,
    pub(crate) troubles: Troubles,
    pub(crate) views: Vec<Arc<View>>,
    pub(crate) seen: watch::Sender<Observation>,
}

/// What the observer keeps from look to look.
#[derive(Debug, Default)]
struct Trends {
    progress: Progress,
    growth: Vec<Growth>,
    /// The topics that cannot be made again, and why, as it was said last.
    refused: BTreeMap<String, String>,
}

impl Observer {
    /// Looks until it is dropped; never ends by itself. Every request ends within the connector's timeouts.
    pub(crate) async fn run(self) {
        let mut trends = Trends::default();
        // A partition that nobody reads yet is no finding: the host is just about to.
        let joined = async {
            while !self.views.iter().all(|view| view.is_member()) {
                tokio::time::sleep(JOIN_LOOK_EVERY).await;
            }
        };
        // One that cannot join is a finding soon enough.
        drop(tokio::time::timeout(self.settings.every, joined).await);
        let mut due = interval(self.settings.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.seen.send_replace(self.look(&mut trends).await);
        }
    }

    async fn look(&self, trends: &mut Trends) -> Observation {
        let mut seen = Observation { dead_letters: self.dead_letters(trends), ..Observation::default() };
        seen.error = self.ask(&mut seen, trends).await.err();
        seen.at_micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_micros()).ok());
        seen
    }

    async fn ask(&self, seen: &mut Observation, trends: &mut Trends) -> Result<(), ConnectorError> {
        self.connector.ping().await?;
        let mut reports = self.topology.report().await?;
        if reports.iter().any(|report| report.state.is_none()) && self.make_again(&reports, trends).await {
            reports = self.topology.report().await?;
        }
        seen.drift = reports.into_iter().filter(|report| !report.is_as_expected()).collect();
        let groups = ConsumerGroupManager::new(Arc::clone(&self.connector));
        for view in &self.views {
            for group in &view.groups {
                // A topic that is gone is told as drift.
                if seen.drift.iter().any(|report| report.state.is_none() && report.topic == group.topic.topic)
                {
                    continue;
                }
                let position = groups.position(group).await?;
                let stuck =
                    trends.progress.note(group, &position, (Instant::now(), self.settings.stuck_after));
                let (subscription, group) = (view.subscription.clone(), group.clone());
                seen.readers.push(Reader { subscription, group, position, stuck });
            }
        }
        Ok(())
    }

    /// Makes the topics that are missing, and says whether any is there again. Nobody waits for it: a topic that cannot be
    /// made stays a cause, and is tried again by the next look.
    async fn make_again(&self, reports: &[TopicReport], trends: &mut Trends) -> bool {
        let is_missing = |spec: &&TopicSpec| {
            reports.iter().any(|report| report.state.is_none() && report.topic == spec.name)
        };
        let mut is_any_there = false;
        for spec in self.topics.iter().filter(is_missing) {
            let topic = &spec.name;
            match self.connector.ensure_topics(&self.stream, std::slice::from_ref(spec)).await {
                Ok(()) => {
                    trends.refused.remove(topic);
                    is_any_there = true;
                    let made = format!(
                        "topic {topic} did not exist and was made again, empty: it was deleted, or the broker lost what it had"
                    );
                    tracing::warn!("{made}");
                    self.troubles.happened("topic_made_again", topic, made);
                }
                Err(error) => {
                    let reason = error.to_string();
                    if trends.refused.insert(topic.clone(), reason.clone()).as_ref() != Some(&reason) {
                        tracing::error!(topic, %error, "cannot make the topic again; it is tried again, and `guesthouse topology apply` does the same");
                    }
                }
            }
        }
        is_any_there
    }

    fn dead_letters(&self, trends: &mut Trends) -> Vec<u64> {
        trends.growth.resize_with(self.views.len(), Growth::default);
        let (now, window) = (Instant::now(), self.settings.dead_letters_window);
        let grown = |(view, growth): (&Arc<View>, &mut Growth)| {
            let count = view.counters.borrow().dead_letters_made();
            growth.note(count, now, window)
        };
        self.views.iter().zip(&mut trends.growth).map(grown).collect()
    }
}
