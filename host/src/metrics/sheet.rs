//! The sheet on which the samples of one scrape are collected, by family.

use std::collections::BTreeMap;

use prometheus::proto::{self, Bucket, LabelPair, Metric, MetricFamily};

use super::family::Family;
use crate::histogram::Histogram;

/// Upper bounds of the buckets of all histograms, in microseconds: those of the platform.
const BUCKETS_MICROS: [u64; 14] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Microseconds of a second.
const SECOND_MICROS: f64 = 1e6;

/// Names and values of the labels of a sample.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Samples by family.
#[derive(Debug, Default)]
pub(super) struct Sheet(BTreeMap<&'static str, MetricFamily>);

impl Sheet {
    /// Adds a sample of a counter.
    pub(super) fn count(&mut self, family: &Family, labels: Labels<'_>, value: u64) {
        let mut counter = proto::Counter::default();
        counter.set_value(value as f64);
        self.add(family, labels, |metric| metric.set_counter(counter));
    }

    /// Adds a sample of a gauge.
    pub(super) fn gauge(&mut self, family: &Family, labels: Labels<'_>, value: f64) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        self.add(family, labels, |metric| metric.set_gauge(gauge));
    }

    /// Adds a moment, where there is one, given in microseconds since 1970 and shown in seconds.
    pub(super) fn moment(&mut self, family: &Family, labels: Labels<'_>, unix_micros: Option<u64>) {
        if let Some(unix_micros) = unix_micros {
            self.gauge(family, labels, unix_micros as f64 / SECOND_MICROS);
        }
    }

    /// Adds a histogram, in seconds.
    pub(super) fn histogram(&mut self, family: &Family, labels: Labels<'_>, of: &Histogram) {
        let bucket = |bound: u64| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound as f64 / SECOND_MICROS);
            bucket.set_cumulative_count(of.count_within(bound));
            bucket
        };
        let mut histogram = proto::Histogram::default();
        histogram.set_sample_count(of.count());
        histogram.set_sample_sum(of.sum_micros() as f64 / SECOND_MICROS);
        histogram.set_bucket(BUCKETS_MICROS.into_iter().map(bucket).collect());
        self.add(family, labels, |metric| metric.set_histogram(histogram));
    }

    /// All families that have samples.
    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        self.0.into_values().collect()
    }

    fn add(&mut self, family: &Family, labels: Labels<'_>, fill: impl FnOnce(&mut Metric)) {
        let families = self.0.entry(family.name).or_insert_with(|| {
            let mut made = MetricFamily::default();
            made.set_name(family.name.to_owned());
            made.set_help(family.help.to_owned());
            made.set_field_type(family.kind);
            made
        });
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut metric = Metric::from_label(labels.iter().map(pair).collect());
        fill(&mut metric);
        families.mut_metric().push(metric);
    }
}

/// How a gauge says yes and no.
pub(super) fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
