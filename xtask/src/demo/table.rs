//! The table at the end: what became of the events of each tenant.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, LineStyle, Table, presets};

use super::report::{Report, Tenant};

/// The name by which envelopes call the platform itself.
const PLATFORM: &str = "00000000-0000-0000-0000-000000000000";

/// Characters of a tenant's id that are enough to tell the tenants of a demo apart.
const ID_CHARS: usize = 8;

/// One row per tenant and one for all.
pub(crate) fn tenants(report: &Report) -> Table {
    let total = report.total();
    let outcomes: BTreeSet<&str> = total.dead_letters.keys().map(String::as_str).collect();
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    let fixed = ["tenant", "events in", "deliveries", "handled", "retried", "emitted"];
    let dead = outcomes.iter().map(|outcome| format!("dead:\n{outcome}"));
    table.set_header(fixed.map(str::to_owned).into_iter().chain(dead));
    for (id, tenant) in &report.tenants {
        table.add_row(row(&name(id), tenant, &outcomes));
    }
    table.add_row(row("all", &total, &outcomes));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(name: &str, tenant: &Tenant, outcomes: &BTreeSet<&str>) -> Vec<String> {
    let Tenant { received, deliveries, handled, retried, emitted, dead_letters } = tenant;
    let counts = [received, deliveries, handled, retried, emitted].map(ToString::to_string);
    let dead = outcomes.iter().map(|outcome| match dead_letters.get(*outcome) {
        Some(count) => count.to_string(),
        None => "·".to_owned(),
    });
    std::iter::once(name.to_owned()).chain(counts).chain(dead).collect()
}

fn name(id: &str) -> String {
    if id == PLATFORM { "the platform".to_owned() } else { id.chars().take(ID_CHARS).collect() }
}
