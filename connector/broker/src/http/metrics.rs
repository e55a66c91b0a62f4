//! The report as Prometheus reads it. One line for each topic and group, none for partitions, clients or users.

use std::fmt::Write as _;

use super::report::Report;

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A text in the making. Writing to it cannot fail.
#[derive(Debug, Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _infallible = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.value(name, &[], value);
    }
}

/// Labels may hold any text; these three characters would end it.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// The whole exposition.
pub(super) fn render(report: &Report) -> String {
    let mut text = Exposition::default();
    broker(&mut text, report);
    topics(&mut text, report);
    groups(&mut text, report);
    text.0
}

fn broker(text: &mut Exposition, report: &Report) {
    let broker = &report.broker;
    let start = std::time::Duration::from_micros(broker.started_at_micros).as_secs_f64();
    let name = "guesthouse_broker_start_time_seconds";
    text.single(name, Kind::Gauge, "When the broker started, since the epoch.", start);
    let name = "guesthouse_broker_connections";
    text.single(name, Kind::Gauge, "Open connections of clients.", broker.connections);
    let name = "guesthouse_broker_faults_total";
    text.single(name, Kind::Counter, "Requests that failed for a fault of this machine.", broker.faults);
    let name = "guesthouse_broker_disk_free_bytes";
    text.single(name, Kind::Gauge, "Room left where the data lies.", broker.disk_free_bytes);
    let name = "guesthouse_broker_partitions_troubled";
    let help = "Partitions that are offline, damaged, or refuse messages.";
    text.single(name, Kind::Gauge, help, report.troubled().count());
}

fn topics(text: &mut Exposition, report: &Report) {
    type Figure = fn(&super::report::TopicReport) -> u64;
    let figures: [(&str, Kind, &str, Figure); 7] = [
        ("guesthouse_broker_topic_messages", Kind::Gauge, "Messages kept.", |topic| topic.messages),
        ("guesthouse_broker_topic_bytes", Kind::Gauge, "Bytes in segment files.", |topic| topic.bytes),
        (
            "guesthouse_broker_topic_unsynced_bytes",
            Kind::Gauge,
            "Bytes that a loss of power may take.",
            |topic| topic.partitions.iter().map(|partition| partition.unsynced_bytes).sum(),
        ),
        ("guesthouse_broker_topic_segments", Kind::Gauge, "Segment files.", |topic| {
            topic.partitions.iter().map(|partition| u64::from(partition.segments)).sum()
        }),
        ("guesthouse_broker_topic_offsets_total", Kind::Counter, "Offsets given to messages.", |topic| {
            topic.partitions.iter().map(|partition| partition.next_offset).sum()
        }),
        (
            "guesthouse_broker_topic_repeats_total",
            Kind::Counter,
            "Messages that were sent again after a lost answer, and not stored a second time.",
            |topic| topic.repeats,
        ),
        (
            "guesthouse_broker_topic_missing_offsets",
            Kind::Gauge,
            "Offsets, at most, of messages that are gone though nothing dropped them.",
            |topic| topic.missing_offsets,
        ),
    ];
    for (name, kind, help, figure) in figures {
        text.head(name, kind, help);
        for topic in &report.topics {
            text.value(name, &[("stream", &topic.stream), ("topic", &topic.name)], figure(topic));
        }
    }
}

fn groups(text: &mut Exposition, report: &Report) {
    type Figure = fn(&super::report::GroupReport) -> u64;
    let figures: [(&str, &str, Figure); 2] = [
        ("guesthouse_broker_group_lag", "Offsets that a group has not stored.", |group| group.lag),
        ("guesthouse_broker_group_members", "Connections that are members of a group.", |group| {
            group.members as u64
        }),
    ];
    for (name, help, figure) in figures {
        text.head(name, Kind::Gauge, help);
        for group in &report.groups {
            let labels = [
                ("stream", group.stream.as_str()),
                ("topic", group.topic.as_str()),
                ("group", group.name.as_str()),
            ];
            text.value(name, &labels, figure(group));
        }
    }
}
