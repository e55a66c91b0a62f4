//! What sections mean together: names that are made of others, addresses that meet, and settings that a connection
//! needs. `guesthouse check` and a start decide by this, before anything is opened.

use std::collections::BTreeMap;

use guesthouse_connector::{ConnectorError, ConnectorMode, check_config};

use super::Config;
use super::section::Section;
use super::value::name;

/// Reports what does not work together. `root` is the whole document.
pub(super) fn refuse(root: &Section<'_>, config: &Config) {
    refuse_parked_topics(root, config);
    refuse_states_topic(root, config);
    refuse_shared_ports(root, config);
    // Mistakes that were found until here would be told a second time.
    if root.is_clean()
        && let Err(error) = check_config(&config.connector)
    {
        let problem = match error {
            ConnectorError::Config(problem) => problem,
            other => other.to_string(),
        };
        root.refuse("events", &problem);
    }
}

/// The topic for parked events is a topic like others, with a name of its own.
fn refuse_parked_topics(root: &Section<'_>, config: &Config) {
    for topic in config.topics_with_parking() {
        let parked = config.parked_topic(topic);
        if name(&parked).is_err() {
            let problem = format!(
                "events of topic `{topic}` may be parked in a topic of that name and `dead_letters.parked_suffix`, which \
                 has {} bytes, expected at most 255; shorten one of them",
                parked.len()
            );
            root.refuse("subscriptions", &problem);
        }
        if parked == config.dead_letters.topic {
            let problem = format!(
                "`{parked}` is where events of topic `{topic}` are parked; give dead letters another"
            );
            root.refuse("dead_letters", &problem);
        }
    }
}

/// So is the topic that says what became of dead letters.
fn refuse_states_topic(root: &Section<'_>, config: &Config) {
    let states = config.dead_letters.states_topic();
    if name(&states).is_err() {
        let problem = format!(
            "what became of dead letters is kept in a topic of the name of theirs and `-states`, which has {} bytes, expected at \
             most 255; shorten `dead_letters.topic`",
            states.len()
        );
        root.refuse("dead_letters", &problem);
    }
    let parking = config.topics_with_parking();
    if let Some(topic) = parking.iter().find(|topic| config.parked_topic(topic) == states) {
        let problem = format!(
            "`{states}` says what became of dead letters, and is where events of topic `{topic}` are parked; give dead letters \
             another topic"
        );
        root.refuse("dead_letters", &problem);
    }
}

/// Two that listen on this machine cannot have one port.
fn refuse_shared_ports(root: &Section<'_>, config: &Config) {
    let embedded = &config.connector.embedded;
    let is_here = config.connector.mode == ConnectorMode::Embedded;
    let of_broker = [("tcp_port", embedded.tcp_port), ("http_port", embedded.http_port)];
    let of_broker = of_broker.into_iter().filter(|_| is_here);
    let of_broker = of_broker.map(|(key, port)| ("events", format!("events.iggy.embedded.{key}"), port));
    let metrics = config.metrics_listen.filter(|address| {
        // Others than these do not meet the broker's.
        address.ip().is_unspecified() || address.ip() == std::net::Ipv4Addr::LOCALHOST
    });
    let metrics = metrics.map(|address| ("metrics", "metrics.listen".to_owned(), address.port()));
    let mut taken: BTreeMap<u16, String> = BTreeMap::new();
    for (section, key, port) in of_broker.chain(metrics).filter(|(_, _, port)| *port != 0) {
        match taken.get(&port) {
            Some(other) => root.refuse(section, &format!("`{key}` and `{other}` both want port {port}")),
            None => drop(taken.insert(port, key)),
        }
    }
}
