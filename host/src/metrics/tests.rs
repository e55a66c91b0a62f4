//! Tests of the collector: what it writes, and how it gets on with other collectors.

use std::collections::BTreeSet;

use prometheus::{IntCounterVec, Opts, Registry};

use super::*;
use crate::counters::TopicCounters;
use crate::outcome::OutcomeKind;

fn counters() -> Counters {
    let mut counters = Counters { received: 7, settled: 5, unsettled: 2, ..Counters::default() };
    counters.attempted(OutcomeKind::Done, 2_000, 4);
    counters.attempted(OutcomeKind::Trapped, 40_000, 1);
    counters.dead_letters.entry("a".into()).or_default().insert("trapped".into(), 1);
    let letters = TopicCounters { published: 1, failures: [("iggy.connector.timed_out".into(), 3)].into() };
    counters.published_to("dlq", &letters);
    counters
}

fn text_of(counters: &Counters) -> String {
    let mut sheet = Sheet::default();
    let seen = Seen { subscription: "default", dead_letter_topic: "dlq", is_ready: true, counters };
    ours::fill(&mut sheet, &seen);
    platform::fill(&mut sheet, &seen);
    let mut text = Vec::new();
    TextEncoder::new().encode(&sheet.into_families(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn figures_are_written_by_both_names() {
    let text = text_of(&counters());
    for line in [
        r#"guesthouse_received_total{subscription="default"} 7"#,
        r#"rustok_runtime_consumer_received_total{consumer="default"} 7"#,
        r#"rustok_runtime_consumer_in_flight{consumer="default"} 2"#,
        r#"rustok_runtime_consumer_deliveries_total{consumer="default",outcome="done"} 4"#,
        r#"rustok_runtime_consumer_deliveries_total{consumer="default",outcome="trapped"} 1"#,
        r#"rustok_runtime_consumer_failures_total{consumer="default",stage="handle",error_code="trapped"} 1"#,
        r#"rustok_runtime_consumer_dlq_total{consumer="default",result="published"} 1"#,
        r#"rustok_runtime_consumer_dlq_total{consumer="default",result="failed"} 3"#,
        r#"guesthouse_dead_letters_total{subscription="default",handler="a",outcome="trapped"} 1"#,
        r#"guesthouse_publish_failures_total{subscription="default",topic="dlq",error_code="iggy.connector.timed_out"} 3"#,
        r#"rustok_runtime_consumer_processing_duration_seconds_bucket{consumer="default",outcome="done",le="0.001"} 0"#,
        r#"rustok_runtime_consumer_processing_duration_seconds_bucket{consumer="default",outcome="done",le="0.005"} 4"#,
        r#"rustok_runtime_consumer_processing_duration_seconds_bucket{consumer="default",outcome="done",le="60"} 4"#,
        r#"rustok_runtime_consumer_processing_duration_seconds_sum{consumer="default",outcome="done"} 0.008"#,
        r#"rustok_event_bus_processing_duration_seconds_bucket{consumer="default",le="0.005"} 4"#,
        r#"rustok_event_bus_processing_duration_seconds_bucket{consumer="default",le="0.05"} 5"#,
        r#"rustok_event_bus_processing_duration_seconds_count{consumer="default"} 5"#,
        r#"rustok_event_bus_processing_duration_seconds_sum{consumer="default"} 0.048"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn names_are_unique_and_well_formed() {
    let names: Vec<_> = MetricsCollector::names().collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for family in ours::ALL.iter().chain(platform::ALL) {
        assert!(family.help.ends_with('.') && !family.help.is_empty(), "{}", family.name);
        let is_total = family.name.ends_with("_total");
        assert_eq!(is_total, family.kind == prometheus::proto::MetricType::COUNTER, "{}", family.name);
    }
    assert_eq!(MetricsCollector::new().desc().len(), ours::ALL.len());
}

#[test]
fn the_families_of_the_platform_are_joined() {
    let registry = Registry::new();
    let theirs = Opts::new("rustok_event_bus_published_total", "Theirs");
    let theirs = IntCounterVec::new(theirs, &["event_type", "tenant_id"]).unwrap();
    theirs.with_label_values(&["order.placed", "t"]).inc();
    registry.register(Box::new(theirs)).unwrap();
    let counts: Arc<TransportCounts> = Arc::default();
    let mut collector = MetricsCollector::new();
    collector.transports.push(counts);
    registry.register(Box::new(collector)).unwrap();
    let families = registry.gather();
    let bus = families.iter().find(|family| family.name() == "rustok_event_bus_published_total").unwrap();
    assert_eq!(bus.get_metric().len(), 2);
    let again = registry.register(Box::new(MetricsCollector::new()));
    assert!(again.is_err(), "one collector for one registry");
}

/// A file of rules, as Prometheus reads it.
#[derive(serde::Deserialize)]
struct Alerts {
    groups: Vec<Group>,
}

#[derive(serde::Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(serde::Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    annotations: std::collections::BTreeMap<String, String>,
}

#[test]
fn alerts_are_about_metrics_that_there_are() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let alerts: Alerts =
        serde_saphyr::from_str(&std::fs::read_to_string(docs.join("alerts.yaml")).unwrap()).unwrap();
    let families: BTreeSet<_> = MetricsCollector::names().collect();
    for rule in alerts.groups.iter().flat_map(|group| &group.rules) {
        let words = rule.expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<_> =
            words.filter(|word| word.starts_with("guesthouse_") || word.starts_with("rustok_")).collect();
        assert!(!metrics.is_empty(), "{}", rule.alert);
        for metric in metrics {
            let family = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(families.contains(family), "{}: there is no metric {metric}", rule.alert);
        }
        let runbook = &rule.annotations["runbook"];
        let (page, section) = runbook.split_once('#').unwrap_or((runbook, ""));
        let page = std::fs::read_to_string(docs.join("..").join(page)).unwrap();
        assert!(section.is_empty() || page.contains(&format!("\n## {section}\n")), "{runbook}");
    }
}

#[test]
fn every_cause_has_a_runbook() {
    let page = include_str!("../../../docs/runbooks/health.md");
    let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections, crate::health::CAUSES);
}
