//! The six questions, answered from a verdict and from nothing else.

use jiff::Timestamp;
use jiff::tz::{self, TimeZone};
use serde_json::Value;
use tacitly_attestation::certificate::{Anchoring, Proven, Verdict};
use tacitly_attestation::entry::{Body, Entry, StatementEntry, StatementValue, Time, TimeUnit};

use super::html::Html;
use super::words;

/// Fields that stand in every entry and are answered elsewhere on the page.
const COMMON: [&str; 7] = ["kind", "id", "log", "by", "t", "nonce", "rel"];

/// Fields of a statement that are shown in quotation marks.
const QUOTED: [&str; 3] = ["topic", "subject", "fields"];

/// Fields of the type time.
const TIMES: [&str; 4] = ["t", "from", "until", "expires"];

pub(super) fn time(html: &mut Html, verdict: &Verdict) {
    let (recorded, cosigned, issued) = verdict.time();
    html.heading(words::TIME).tag("<table>\n");
    if let Some(recorded) = recorded {
        html.row(("记录方陈述的时间", "As its recorder states"), &milliseconds(recorded.get()));
    }
    for (name, seconds) in cosigned {
        html.row_with(("见证方签名时间", "Cosigned by a witness"), |cell| {
            cell.text(name).text(": ").text(&milliseconds(seconds.saturating_mul(1000)));
        });
    }
    if let Anchoring::Proven { anchor, .. } = &verdict.levels.anchored {
        let time = anchor.block_time.get();
        let time = if anchor.time_unit == TimeUnit::Seconds { time.saturating_mul(1000) } else { time };
        html.row(("区块时间", "Time of the block"), &milliseconds(time));
    }
    html.row(("本证书出具时间", "This certificate was issued"), &milliseconds(issued.get()));
    html.tag("</table>\n").both((
        "记录时间由记录方陈述；见证方与区块的时间给出该条目最迟的形成时间。",
        "The recorder's time is its own statement; witnesses and blocks give the latest time at which the entry was made.",
    ));
}

pub(super) fn place(html: &mut Html, verdict: &Verdict) {
    html.heading(words::PLACE).tag("<table>\n");
    match verdict.place() {
        Some(place) => {
            html.row(("所在日志", "Log"), place.log.as_str());
            html.row_with(("日志中的位置", "Place in the log"), |cell| {
                cell.text(&format!("{} / {}", place.index, place.size));
            });
            html.row(("该日志的树根", "Root of that log"), &place.root.to_string());
        }
        None => {
            html.row_with(("所在日志", "Log"), |cell| {
                let claimed = verdict.entries.first().map(|proven| proven.entry.header().log.as_str());
                cell.text(claimed.unwrap_or_default()).text(" (尚未证明 / inclusion not shown)");
            });
        }
    }
    for (party, statement) in verdict.persons() {
        let Some(statement) = statement else { continue };
        html.row_with(("运行环境", "Where and on what it runs"), |cell| {
            cell.text(party.as_str());
            if let Some(region) = &statement.region {
                cell.text(" · ").text(region.as_str());
            }
            cell.text(" · ").text(statement.software.as_str()).tag("<br>");
            cell.text("程序摘要 program: ").text(&statement.build.to_string());
            if let Some(certificate) = &statement.certificate {
                cell.tag("<br>").text("TLS: ").text(&certificate.to_string());
            }
        });
    }
    html.tag("</table>\n");
}

pub(super) fn person(html: &mut Html, verdict: &Verdict) {
    html.heading(words::PERSON).tag("<table>\n");
    for (party, statement) in verdict.persons() {
        html.row_with(("签名机构", "Institution that signed"), |cell| {
            cell.tag("<strong>").text(party.as_str()).tag("</strong>");
            if let Some(statement) = statement {
                cell.text(" · ").text(statement.name.as_str());
                if let Some(registration) = &statement.registration {
                    cell.text(" · ").text(registration.as_str());
                }
            }
            for proven in verdict.entries.iter().filter(|proven| proven.signed.contains(&party)) {
                let (chinese, english) = words::kind(proven.entry.kind());
                cell.tag("<br>").text("签署 signed: ").text(chinese).text(" / ").text(english);
            }
        });
    }
    html.row(("证书出具方", "Issuer of this certificate"), verdict.manifest.issuer.as_str());
    html.tag("</table>\n").both((
        "本页只涉及机构。证书中不含任何个人信息。",
        "Institutions only: there is no personal data in a certificate.",
    ));
}

pub(super) fn before(html: &mut Html, verdict: &Verdict) {
    html.heading(words::BEFORE);
    entries(html, verdict.before());
}

pub(super) fn during(html: &mut Html, verdict: &Verdict) {
    html.heading(words::DURING);
    // What went over each link happened during the job, though it is written down with the result.
    let links = verdict.entries.iter().filter_map(|proven| match proven.entry.body() {
        Body::Result(result) => Some((proven, result)),
        _ => None,
    });
    let mut any = false;
    for (proven, result) in links {
        any |= !result.peers.is_empty();
        for link in &result.peers {
            html.tag("<h3>").text("通信记录 / Link: ").text(proven.entry.header().by.as_str());
            html.text(" ↔ ").text(link.peer.as_str()).tag("</h3><table>\n");
            html.row(("发送字节数", "Bytes sent"), &link.sent_bytes.to_string());
            html.row(("发送内容摘要", "Digest of what was sent"), &link.sent.to_string());
            html.row(("接收字节数", "Bytes received"), &link.received_bytes.to_string());
            html.row(("接收内容摘要", "Digest of what was received"), &link.received.to_string());
            html.tag("</table>\n");
        }
    }
    if any && verdict.during().next().is_none() {
        return;
    }
    entries(html, verdict.during());
}

pub(super) fn after(html: &mut Html, verdict: &Verdict) {
    html.heading(words::AFTER);
    entries(html, verdict.after());
}

fn entries<'v>(html: &mut Html, entries: impl Iterator<Item = &'v Proven>) {
    let mut any = false;
    for proven in entries {
        any = true;
        entry(html, proven);
    }
    if !any {
        html.both(("本证书未附此阶段的条目。", "No entry of this phase is attached to this certificate."));
    }
}

fn entry(html: &mut Html, proven: &Proven) {
    let (chinese, english) = words::kind(proven.entry.kind());
    html.tag("<h3>").text(chinese).text(" / ").text(english).tag("</h3><table>\n");
    let header = proven.entry.header();
    html.row(("记录方与时间", "Recorded by, at"), &format!("{} · {}", header.by, milliseconds(header.t.get())));
    let signed: Vec<&str> = proven.signed.iter().map(|party| party.as_str()).collect();
    html.row(("签名", "Signed by"), &signed.join(", "));
    html.row(("条目哈希", "Leaf hash"), &proven.leaf.to_string());
    let is_quoted = if let Body::Statement(statement) = proven.entry.body() {
        quote(html, statement);
        true
    } else {
        false
    };
    for (name, value) in fields(&proven.entry) {
        if COMMON.contains(&name.as_str()) || is_quoted && QUOTED.contains(&name.as_str()) {
            continue;
        }
        let label = words::field(&name).unwrap_or(("", &name));
        html.row_with(label, |cell| show(cell, &name, &value));
    }
    html.tag("</table>\n");
}

/// What a statement says, in quotation marks: the words are those of its kind of job, and none of ours explains them.
fn quote(html: &mut Html, statement: &StatementEntry) {
    html.row(("陈述事项", "What is stated"), &quoted(&statement.topic.to_string()));
    html.row(("陈述对象", "About"), &quoted(&statement.subject.to_string()));
    for (name, value) in statement.fields.iter() {
        let name = quoted(name.as_str());
        html.row_with((&format!("陈述内容 {name}"), &format!("States {name}")), |cell| {
            cell.text(&match value {
                StatementValue::Time(time) => milliseconds(time.get()),
                StatementValue::Count(count) => count.to_string(),
                StatementValue::Bytes(bytes) => format!("{bytes} 字节 bytes"),
                StatementValue::Code(code) => quoted(code.as_str()),
                StatementValue::Codes(codes) => {
                    codes.iter().map(|code| quoted(code.as_str())).collect::<Vec<_>>().join(", ")
                }
                StatementValue::Party(party) => quoted(party.as_str()),
                StatementValue::Id(id) => id.to_string(),
                StatementValue::Digest(digest) => digest.to_string(),
                StatementValue::Commitment(commitment) => commitment.to_string(),
                StatementValue::Entry(leaf) => leaf.to_string(),
                StatementValue::Dataset(fingerprint) => fingerprint.to_string(),
            });
        });
    }
}

fn quoted(text: &str) -> String {
    format!("“{text}”")
}

/// The fields of an entry, as they stand on its one line of JSON.
fn fields(entry: &Entry) -> serde_json::Map<String, Value> {
    let line = entry.text().lines().nth(1).unwrap_or_default();
    serde_json::from_str(line).unwrap_or_default()
}

fn show(html: &mut Html, name: &str, value: &Value) {
    match value {
        Value::String(text) => {
            html.text(text);
            if let Some(chinese) = words::value(text) {
                html.text("（").text(chinese).text("）");
            }
        }
        Value::Number(number) => {
            let time = number.as_u64().filter(|number| TIMES.contains(&name) && Time::new(*number).is_ok());
            html.text(&time.map_or_else(|| number.to_string(), milliseconds));
        }
        Value::Array(values) if values.is_empty() => {
            html.text("无 none");
        }
        Value::Array(values) => {
            html.tag("<ul>");
            for value in values {
                html.tag("<li>");
                show(html, name, value);
                html.tag("</li>");
            }
            html.tag("</ul>");
        }
        Value::Object(map) => {
            for (at, (name, value)) in map.iter().enumerate() {
                if at > 0 {
                    html.tag("<br>");
                }
                match words::field(name) {
                    Some((chinese, english)) => html.text(chinese).text(" ").text(english),
                    None => html.text(name),
                };
                html.text(": ");
                show(html, name, value);
            }
        }
        Value::Bool(_) | Value::Null => {
            html.text(&value.to_string());
        }
    }
}

/// A moment in Beijing time and in UTC.
fn milliseconds(time: u64) -> String {
    let moment = i64::try_from(time).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
    let Some(moment) = moment else { return format!("{time} ms") };
    let beijing = moment.to_zoned(TimeZone::fixed(tz::offset(8)));
    format!("{} 北京时间 (UTC {})", beijing.strftime("%Y-%m-%d %H:%M:%S%.3f"), moment.strftime("%Y-%m-%d %H:%M:%S%.3f"))
}

#[cfg(test)]
mod tests {
    use tacitly_attestation::entry::{Code, Count, StatementFields, StatementSubject, Time};

    use super::*;

    #[test]
    fn a_statement_is_shown_in_quotation_marks_and_its_words_are_not_explained() {
        let code = |text: &str| Code::parse(text).unwrap();
        let statement = StatementEntry {
            topic: code("model-deployed"),
            subject: StatementSubject::Code(code("credit-model")),
            signers: vec![],
            fields: StatementFields::new()
                .with(code("rounds"), StatementValue::Count(Count::new(12).unwrap()))
                .with(code("status"), StatementValue::Code(code("done")))
                .with(code("until"), StatementValue::Time(Time::new(1_795_000_000_000).unwrap())),
        };
        let mut html = Html::default();
        quote(&mut html, &statement);
        let page = html.into_string();
        for shown in ["“model-deployed”", "“code:credit-model”", "States “rounds”", ">12<", "“done”", "UTC 2026-11-18"]
        {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        // Words of ours would say what a field of that name means in another kind of entry.
        assert!(!page.contains("完成") && !page.contains("状态"), "{page}");
    }
}
