//! What a run has to say, as one line of JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::invariants::Totals;
use super::vigil::Readings;

/// One run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the plan, the load and the moments follow from.
    pub seed: u64,
    /// How many hosts shared the work.
    pub hosts: u8,
    /// What happened, in its order.
    pub faults: Vec<String>,
    /// How often each kind of hardship happened.
    pub hardships: BTreeMap<&'static str, u32>,
    /// What was read of the hosts' health.
    pub health: Readings,
    /// How often a host was killed.
    pub kills: u32,
    /// What the ledgers add up to.
    #[serde(flatten)]
    pub totals: Totals,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// How it went.
    pub verdict: Verdict,
    /// What must not be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
    /// Where everything lies, when there is something to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything happened that was planned, and everything held.
    Held,
    /// Something did not hold.
    Violated,
    /// Something that was planned did not happen, so the run says nothing.
    DoesNotCount,
}
