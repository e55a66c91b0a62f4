//! What hosts and transports of this process counted, as Prometheus metrics: a collector for anybody's registry.
//!
//! Everything is counted anyway, so a scrape costs what writing it down costs, and an event costs nothing. Labels are
//! names of the configuration and closed lists: no tenants, no ids, no texts of errors.

mod family;
mod ours;
mod platform;
mod sheet;

use std::fmt;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use self::sheet::Sheet;
use crate::counters::Counters;
use crate::host::HostHandle;
use crate::transport::{IggyTransport, TransportCounts};

/// Collects the metrics of hosts and transports, by our names (`guesthouse_…`) and by those that RusToK's dashboards know
/// (`rustok_runtime_consumer_…`, `rustok_event_bus_…`, `rustok_module_…`).
///
/// One collector serves one registry: give it every host of the process. It keeps neither hosts nor transports alive.
/// It announces our names alone, so that a registry in which the platform has registered its own families of the other
/// names takes it; on a scrape both are shown as one family.
pub struct MetricsCollector {
    hosts: Vec<HostHandle>,
    transports: Vec<Arc<TransportCounts>>,
    announced: Vec<Desc>,
}

/// What a subscription shows.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    subscription: &'a str,
    dead_letter_topic: &'a str,
    is_ready: bool,
    counters: &'a Counters,
}

impl MetricsCollector {
    /// A collector of nothing yet.
    pub fn new() -> Self {
        let announce = |family: &family::Family| {
            Desc::new(
                family.name.to_owned(),
                family.help.to_owned(),
                Vec::new(),
                std::collections::HashMap::new(),
            )
        };
        // All of them are valid, as a test shows.
        let announced = ours::ALL.iter().map(announce).filter_map(Result::ok).collect();
        Self { hosts: Vec::new(), transports: Vec::new(), announced }
    }

    /// Collects from a host, too. The names of its subscriptions must differ from those of the other hosts.
    #[must_use]
    pub fn host(mut self, host: &HostHandle) -> Self {
        self.hosts.push(host.clone());
        self
    }

    /// Collects from a transport, too.
    #[must_use]
    pub fn transport(mut self, transport: &IggyTransport) -> Self {
        self.transports.push(Arc::clone(transport.counts()));
        self
    }

    /// The names of all families there can be, ours first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ours::ALL.iter().chain(platform::ALL).map(|family| family.name)
    }

    /// Everything in the text format that Prometheus scrapes.
    ///
    /// # Errors
    /// None that a scrape can cause; what a name of the configuration should not contain is escaped.
    pub fn to_text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.collect(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Default for MetricsCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MetricsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsCollector").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Collector for MetricsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.announced.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut sheet = Sheet::default();
        ours::fill_whole(&mut sheet, &self.hosts, &self.transports);
        platform::fill_whole(&mut sheet, &self.transports);
        for host in &self.hosts {
            for view in host.views() {
                let counters = view.counters.borrow();
                let seen = Seen {
                    subscription: &view.subscription,
                    dead_letter_topic: host.dead_letter_topic(),
                    is_ready: host.is_connected() && view.is_ready(),
                    counters: &counters,
                };
                ours::fill(&mut sheet, &seen);
                platform::fill(&mut sheet, &seen);
                platform::fill_position(&mut sheet, &view.subscription, &host.observation());
            }
        }
        sheet.into_families()
    }
}

#[cfg(test)]
mod tests;
