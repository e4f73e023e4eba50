//! What Glue's two answers about crawls say together. Pure.

use chrono::TimeDelta;

use crate::ports::catalog::{CrawlProgress, CrawlReport};

/// The two answers may round the beginning of one crawl differently.
const ROUNDING: TimeDelta = TimeDelta::seconds(1);

/// What GetCrawler tells.
#[derive(Debug)]
pub(super) struct CrawlerState {
    /// RUNNING or STOPPING.
    pub(super) is_busy: bool,
    /// LastCrawl: in Glue the crawl before the one that runs; some stand-ins tell of the running one here.
    pub(super) last: Option<CrawlReport>,
}

/// A report without its times. ListCrawls and LastCrawl have different words for the same, and stand-ins mix them; a word
/// that nobody knows is judged by whether the crawl has an end.
pub(super) fn report(word: Option<&str>, message: Option<&str>, has_end: bool) -> CrawlReport {
    let message = message.filter(|message| !message.is_empty()).map(str::to_owned);
    let upper = word.map(str::to_ascii_uppercase);
    let (progress, said) = match upper.as_deref() {
        Some("RUNNING" | "STOPPING" | "STARTING" | "CANCELLING") => (CrawlProgress::Running, None),
        Some("COMPLETED" | "SUCCEEDED") => (CrawlProgress::Succeeded, None),
        Some("STOPPED" | "CANCELLED" | "CANCELED") => {
            (CrawlProgress::Failed, Some("somebody stopped the crawl".to_owned()))
        }
        Some("FAILED") => (CrawlProgress::Failed, Some("the crawl failed".to_owned())),
        Some(other) if has_end => (CrawlProgress::Failed, Some(format!("the crawl ended as {other}"))),
        Some(_) => (CrawlProgress::Running, None),
        None if message.is_some() => (CrawlProgress::Failed, None),
        None if has_end => (CrawlProgress::Succeeded, None),
        None => (CrawlProgress::Running, None),
    };
    CrawlReport { id: None, progress, started_at: None, finished_at: None, message: message.or(said) }
}

/// The crawls of the list and what only the crawler's state tells yet, oldest first; those without a beginning last.
pub(super) fn together(mut crawls: Vec<CrawlReport>, state: Option<CrawlerState>) -> Vec<CrawlReport> {
    if let Some(CrawlerState { is_busy, last }) = state {
        if let Some(last) = last {
            add_last(&mut crawls, last, is_busy);
        }
        if is_busy && !crawls.iter().any(|crawl| crawl.progress == CrawlProgress::Running) {
            crawls.push(report(Some("RUNNING"), None, false));
        }
    }
    crawls.sort_by_key(|crawl| (crawl.started_at.is_none(), crawl.started_at));
    crawls
}

fn add_last(crawls: &mut Vec<CrawlReport>, last: CrawlReport, is_busy: bool) {
    // The crawler is ready again whatever its last crawl is called.
    if last.progress == CrawlProgress::Running && !is_busy {
        return;
    }
    let same = |crawl: &&mut CrawlReport| {
        let both = crawl.started_at.zip(last.started_at);
        both.is_some_and(|(one, two)| (one - two).abs() <= ROUNDING)
    };
    let is_alone = crawls.is_empty();
    match crawls.iter_mut().find(same) {
        // The list is behind.
        Some(listed) if listed.progress == CrawlProgress::Running && !is_busy => {
            (listed.progress, listed.message) = (last.progress, last.message);
        }
        Some(_) => {}
        // A last crawl that does not tell when it began says less than any list; while another runs it says nothing.
        None if last.started_at.is_none() && (is_busy || !is_alone) => {}
        None => crawls.push(last),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;
    use CrawlProgress::{Failed, Running, Succeeded};

    fn crawl(id: &str, second: f64, progress: CrawlProgress) -> CrawlReport {
        let id = Some(id.to_owned()).filter(|id| !id.is_empty());
        let began = Utc.timestamp_millis_opt((second * 1000.0) as i64).unwrap();
        CrawlReport { id, progress, started_at: Some(began), finished_at: None, message: None }
    }

    fn state(is_busy: bool, last: Option<CrawlReport>) -> Option<CrawlerState> {
        Some(CrawlerState { is_busy, last })
    }

    #[test]
    fn every_word_is_understood() {
        for (word, progress) in [
            ("RUNNING", Running),
            ("Stopping", Running),
            ("COMPLETED", Succeeded),
            ("succeeded", Succeeded),
            ("FAILED", Failed),
            ("STOPPED", Failed),
            ("cancelled", Failed),
        ] {
            assert_eq!(report(Some(word), None, false).progress, progress, "{word}");
        }
        assert_eq!(report(Some("MAROONED"), None, true).progress, Failed);
        assert_eq!(report(Some("MAROONED"), None, false).progress, Running);
        assert_eq!(report(None, None, true).progress, Succeeded);
        assert_eq!(report(None, Some("no"), true).progress, Failed);
        assert_eq!(
            report(Some("STOPPED"), None, true).message.as_deref(),
            Some("somebody stopped the crawl")
        );
        assert_eq!(report(Some("FAILED"), Some("why"), true).message.as_deref(), Some("why"));
    }

    #[test]
    fn a_running_crawl_that_is_not_listed_yet_is_told_without_a_name() {
        let found = together(vec![crawl("a", 1.0, Succeeded)], state(true, Some(crawl("", 1.0, Succeeded))));
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].progress, &found[1].id, found[1].started_at), (Running, &None, None));
        let listed = vec![crawl("a", 1.0, Succeeded), crawl("b", 9.0, Running)];
        assert_eq!(together(listed.clone(), state(true, None)), listed);
    }

    #[test]
    fn an_ended_crawl_that_is_not_listed_yet_is_told() {
        let last = crawl("", 9.0, Failed);
        let found = together(vec![crawl("a", 1.0, Succeeded)], state(false, Some(last.clone())));
        assert_eq!(found, [crawl("a", 1.0, Succeeded), last]);
    }

    #[test]
    fn one_crawl_in_both_answers_is_one() {
        let listed = vec![crawl("a", 9.345, Succeeded)];
        assert_eq!(together(listed.clone(), state(false, Some(crawl("", 9.0, Succeeded)))), listed);
        let behind = vec![crawl("a", 9.345, Running)];
        let found = together(behind, state(false, Some(crawl("", 9.0, Failed))));
        assert_eq!((found.len(), found[0].progress, found[0].id.as_deref()), (1, Failed, Some("a")));
    }

    #[test]
    fn the_state_alone_does_where_there_is_no_list() {
        let last = crawl("", 9.0, Succeeded);
        assert_eq!(together(Vec::new(), state(false, Some(last.clone()))), vec![last.clone()]);
        let found = together(Vec::new(), state(true, Some(last)));
        assert_eq!(found.iter().map(|crawl| crawl.progress).collect::<Vec<_>>(), [Succeeded, Running]);
        let nameless = report(Some("SUCCEEDED"), None, true);
        assert_eq!(together(Vec::new(), state(false, Some(nameless.clone()))), vec![nameless.clone()]);
        assert_eq!(together(Vec::new(), state(true, Some(nameless))).len(), 1, "only what runs");
        assert!(together(Vec::new(), state(false, None)).is_empty());
    }

    #[test]
    fn a_last_crawl_that_runs_is_the_running_one() {
        let found = together(Vec::new(), state(true, Some(crawl("", 9.0, Running))));
        assert_eq!(found, [crawl("", 9.0, Running)]);
    }
}
