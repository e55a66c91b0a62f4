//! The report as a page for people: plain tables without scripts. Names come from clients and are escaped.

use std::fmt::{self, Write as _};

use super::report::{GroupReport, PartitionReport, Report, TopicReport};

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"refresh\" content=\"5\"><title>Guesthouse broker</title><style>\
body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse;margin:0 0 2em}\
th,td{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child,.t{text-align:left}.bad{color:#a00}</style></head><body>";

/// A text in which markup of its own means nothing.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// The whole page.
pub(super) fn render(report: &Report) -> String {
    let mut page = String::from(HEAD);
    // Writing to a text cannot fail.
    let _infallible = body(&mut page, report);
    page
}

fn body(page: &mut String, report: &Report) -> fmt::Result {
    let broker = &report.broker;
    write!(
        page,
        "<h1>Guesthouse broker</h1><p>{} connections · {} streams · {} of {} MiB of the disk free · {} faults</p>",
        broker.connections,
        broker.streams.len(),
        broker.disk_free_bytes >> 20,
        broker.disk_total_bytes >> 20,
        broker.faults,
    )?;
    for (topic, partition) in report.troubled() {
        trouble(page, topic, partition)?;
    }
    page.push_str("<h2>Topics</h2><table><tr><th>stream</th><th class=t>topic</th><th>partitions</th>");
    page.push_str("<th>messages</th><th>bytes</th><th>sent again</th><th>missing</th></tr>");
    report.topics.iter().try_for_each(|topic| topic_row(page, topic))?;
    page.push_str("</table><h2>Groups</h2><table><tr><th>stream</th><th class=t>topic</th>");
    page.push_str("<th class=t>group</th><th>members</th><th>lag</th></tr>");
    report.groups.iter().try_for_each(|group| group_row(page, group))?;
    page.push_str("</table><p>As JSON: <a href=\"/streams\">streams</a> · <a href=\"/topics\">topics</a> · ");
    page.push_str("<a href=\"/groups\">groups</a> · <a href=\"/health\">health</a>; for Prometheus: ");
    page.push_str("<a href=\"/metrics\">metrics</a></p></body></html>");
    Ok(())
}

fn trouble(page: &mut String, topic: &TopicReport, partition: &PartitionReport) -> fmt::Result {
    let reason = partition.reason.as_deref().unwrap_or_default();
    let (stream, name) = (Escaped(&topic.stream), Escaped(&topic.name));
    let (id, state, reason) = (partition.id, partition.state, Escaped(reason));
    write!(page, "<p class=bad>{stream}/{name}/{id} is {state}: {reason}</p>")
}

fn topic_row(page: &mut String, topic: &TopicReport) -> fmt::Result {
    write!(
        page,
        "<tr><td>{}</td><td class=t>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        Escaped(&topic.stream),
        Escaped(&topic.name),
        topic.partitions.len(),
        topic.messages,
        topic.bytes,
        topic.repeats,
        topic.missing_offsets,
    )
}

fn group_row(page: &mut String, group: &GroupReport) -> fmt::Result {
    write!(
        page,
        "<tr><td>{}</td><td class=t>{}</td><td class=t>{}</td><td>{}</td><td>{}</td></tr>",
        Escaped(&group.stream),
        Escaped(&group.topic),
        Escaped(&group.name),
        group.members,
        group.lag,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_bring_markup_along() {
        assert_eq!(Escaped("<a href='x'>&\"é").to_string(), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;é");
    }
}
