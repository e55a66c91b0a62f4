//! What the guest `witness` wrote down, as the log of its host has it.

use serde_json::Value;

use crate::envelope::text;

/// Every time that an event was given to the guest: when, and the event's id.
pub fn runs(log: &str) -> impl Iterator<Item = (String, String)> {
    log.lines().filter_map(|line| {
        let entry = serde_json::from_str::<Value>(line).ok()?;
        let message = entry["fields"]["message"].as_str()?;
        let id = message.strip_prefix("handled ")?.split(' ').nth(1)?;
        (entry["target"] == "guest").then(|| (text(&entry, "timestamp").to_owned(), id.to_owned()))
    })
}
