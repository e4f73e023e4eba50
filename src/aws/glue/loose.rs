//! GetCrawler's answer where the SDK reads nothing of it, because one of its times is no number of seconds. Some that stand
//! in for Glue write times as text, and which crawler runs is told by other words of the same answer. Pure.

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;
use sluicegate_state::Timestamp;

use crate::ports::catalog::CrawlReport;

use super::history::{CrawlerState, report};

/// What the answer tells; none where it is not about a crawler at all.
pub(super) fn crawler_state(body: &[u8]) -> Option<CrawlerState> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let crawler = answer.get("Crawler")?.as_object()?;
    let state = crawler.get("State").and_then(Value::as_str).unwrap_or("READY");
    let last = crawler.get("LastCrawl").filter(|last| last.is_object());
    Some(CrawlerState { is_busy: !state.eq_ignore_ascii_case("READY"), last: last.map(last_crawl) })
}

fn last_crawl(last: &Value) -> CrawlReport {
    let text = |member: &str| last.get(member).and_then(Value::as_str);
    let told = report(text("Status"), text("ErrorMessage"), true);
    CrawlReport { started_at: last.get("StartTime").and_then(time), ..told }
}

/// Seconds since 1970, or RFC 3339, with or without a zone; without one it is UTC. Anything else tells no time.
fn time(time: &Value) -> Option<Timestamp> {
    if let Some(seconds) = time.as_f64() {
        return Timestamp::from_timestamp_millis((seconds * 1_000.0).round() as i64);
    }
    let text = time.as_str()?;
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let naive = || text.parse::<NaiveDateTime>().map(|time| time.and_utc());
    zoned.or_else(|_| naive()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports::catalog::CrawlProgress;

    #[test]
    fn a_crawler_with_times_as_text_is_understood() {
        let noon: Timestamp = "2026-03-01T12:00:00.5Z".parse().unwrap();
        for written in [
            json!("2026-03-01T12:00:00.500Z"),
            json!("2026-03-01T13:00:00.5+01:00"),
            json!("2026-03-01T12:00:00.500000"),
            json!(1_772_366_400.5),
        ] {
            let last = json!({ "Status": "FAILED", "ErrorMessage": "no", "StartTime": written });
            let body = json!({ "Crawler": { "State": "RUNNING", "LastUpdated": "x", "LastCrawl": last } });
            let state = crawler_state(body.to_string().as_bytes()).unwrap();
            let last = state.last.unwrap();
            assert!(state.is_busy);
            assert_eq!((last.progress, last.started_at), (CrawlProgress::Failed, Some(noon)), "{written}");
            assert_eq!(last.message.as_deref(), Some("no"));
        }
    }

    #[test]
    fn what_is_not_told_is_left_out() {
        let ready = crawler_state(br#"{"Crawler":{"CreationTime":"2026-03-01","LastCrawl":null}}"#).unwrap();
        assert!(!ready.is_busy && ready.last.is_none());
        let odd = crawler_state(br#"{"Crawler":{"LastCrawl":{"StartTime":"noon"}}}"#).unwrap();
        assert_eq!(odd.last.unwrap().started_at, None);
        for body in [&b"<html>"[..], b"{}", b"[]", br#"{"Crawler":"x"}"#] {
            assert!(crawler_state(body).is_none());
        }
    }
}
