//! A Glue crawler as the catalog of a job. Facts about Glue are those of its API reference: StartCrawler answers with no
//! id, takes no client token and is not idempotent; ListCrawls tells every crawl of the last twelve months; GetCrawler
//! tells whether one runs, and how the last one ended.

mod convert;
mod definitions;
mod history;
mod loose;

use std::collections::BTreeSet;

use aws_sdk_glue::config::retry::RetryConfig;
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::types::{CrawlerHistory, CrawlsFilter, FieldName, FilterOperator, LastCrawlInfo};
use aws_smithy_types::DateTime as SmithyTime;
use chrono::{NaiveDate, TimeDelta};
use sluicegate_state::Timestamp;

use super::client::AwsClients;
use super::failure::{HttpResponse, code, describe, failure, status};
use crate::failure::{Failure, Outcome};
use crate::ports::catalog::{Catalog, CrawlReport, StartAnswer};
pub use definitions::{GlueDefinitions, StatementPlace};
use history::{CrawlerState, report, together};

/// S3 and Glue tell the time of the same region's clocks; this is what they may differ by, and more.
const CLOCK_MARGIN: TimeDelta = TimeDelta::seconds(3);
/// The longest page of ListCrawls, by its documentation.
const CRAWLS_A_PAGE: i32 = 100;
/// The longest page of GetPartitions, by its documentation.
const PARTITIONS_A_PAGE: i32 = 1_000;
/// A listing that does not come to its end within so many pages is given up.
const MOST_PAGES: usize = 1_000;
/// What an existing crawl answers to another start.
const BUSY: [&str; 2] = ["CrawlerRunningException", "CrawlerStoppingException"];
const NOT_FOUND: &str = "EntityNotFoundException";
/// What a service answers with a 4xx status although the same question will be answered later: that it is asked too often
/// (all codes that the SDK takes for that, `aws-runtime`, retries/classifiers.rs), that it took too long (Glue's
/// `OperationTimeoutException` has status 400), and that the request was signed with what is over or not yet valid.
const NOT_NOW: [&str; 23] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "RequestThrottled",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "OperationTimeoutException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
];

/// One crawler over the curated tables of one job.
pub struct GlueCatalog {
    clients: AwsClients,
    crawler: String,
    database: String,
}

impl GlueCatalog {
    /// The crawler of this name; the CSV table of target table `T` is `T_csv` in `database`. Asks for nothing yet.
    pub fn new(clients: AwsClients, crawler: impl Into<String>, database: impl Into<String>) -> Self {
        Self { clients, crawler: crawler.into(), database: database.into() }
    }

    fn not_there(&self) -> Failure {
        Failure::permanent(format!(
            "there is no Glue crawler {} in this account and region: make it with `sluicegate catalog --apply`, or \
             correct SLUICEGATE_CRAWLER",
            self.crawler
        ))
    }

    fn failure<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if code(error) == Some(NOT_FOUND) {
            return self.not_there();
        }
        failure(&format!("{doing} the Glue crawler {}", self.crawler), error)
    }

    /// The crawls since `since`; none where ListCrawls is refused: not every role may, and not every stand-in can.
    fn listed(&self, since: Timestamp) -> Outcome<Option<Vec<CrawlReport>>> {
        let filter = CrawlsFilter::builder()
            .field_name(FieldName::StartTime)
            .filter_operator(FilterOperator::Ge)
            .field_value(since.timestamp_millis().to_string())
            .build();
        match self.pages(Some(filter)) {
            Ok(crawls) => Ok(Some(crawls)),
            Err(error) if is_bad_filter(&error) => self.refused_or(self.pages(None)),
            Err(error) => self.refused_or(Err(error)),
        }
    }

    fn refused_or(
        &self,
        listed: Result<Vec<CrawlReport>, Box<ListError>>,
    ) -> Outcome<Option<Vec<CrawlReport>>> {
        match listed {
            Ok(crawls) => Ok(Some(crawls)),
            Err(error) if is_refusal(&error) => {
                tracing::debug!(
                    crawler = %self.crawler,
                    "glue:ListCrawls is refused, so GetCrawler has to do: {}", describe(&error)
                );
                Ok(None)
            }
            Err(error) => Err(self.failure("listing the crawls of (glue:ListCrawls)", &error)),
        }
    }

    fn pages(&self, filter: Option<CrawlsFilter>) -> Result<Vec<CrawlReport>, Box<ListError>> {
        let (mut crawls, mut token) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let request = self.clients.glue().list_crawls().crawler_name(&self.crawler);
            let request =
                request.max_results(CRAWLS_A_PAGE).set_filters(filter.clone().map(|filter| vec![filter]));
            let page =
                self.clients.block_on(request.set_next_token(token.clone()).send()).map_err(Box::new)?;
            crawls.extend(page.crawls().iter().map(of_history));
            let next = page.next_token().filter(|next| !next.is_empty()).map(str::to_owned);
            if next.is_none() || next == token {
                break;
            }
            token = next;
        }
        Ok(crawls)
    }

    /// Whether the crawler runs, and its last crawl; none where GetCrawler is refused, or tells nothing that can be read.
    fn state(&self) -> Outcome<Option<CrawlerState>> {
        let request = self.clients.glue().get_crawler().name(&self.crawler);
        let answer = match self.clients.block_on(request.send()) {
            Ok(answer) => answer,
            Err(error)
                if code(&error) != Some(NOT_FOUND) && status(&error) == Some(400) && is_denied(&error) =>
            {
                return Ok(None);
            }
            Err(error) => match undecoded(&error) {
                Some(body) => return Ok(loose::crawler_state(body)),
                None => return Err(self.failure("asking after (glue:GetCrawler)", &error)),
            },
        };
        let crawler = answer.crawler().ok_or_else(|| {
            Failure::transient(format!("GetCrawler tells nothing of the Glue crawler {}", self.crawler))
        })?;
        let state = crawler.state().map_or("READY", |state| state.as_str());
        Ok(Some(CrawlerState {
            is_busy: !state.eq_ignore_ascii_case("READY"),
            last: crawler.last_crawl().map(of_last_crawl),
        }))
    }
}

type ListError = SdkError<aws_sdk_glue::operation::list_crawls::ListCrawlsError, HttpResponse>;

/// Whether a filter was not understood.
fn is_bad_filter(error: &ListError) -> bool {
    matches!(code(error), Some("InvalidInputException" | "ValidationException"))
}

/// Whether asking again would be answered the same: the operation is not allowed, not known, or answers in another
/// language. Throttling and trouble of the service are no refusal.
fn is_refusal(error: &ListError) -> bool {
    match status(error) {
        Some(501) => true,
        Some(408 | 429) => false,
        Some(400..=499) => !code(error).is_some_and(|code| NOT_NOW.contains(&code)),
        _ => undecoded(error).is_some(),
    }
}

/// An answer that came whole and well, and that the SDK could not read. One that broke off on its way is none.
fn undecoded<E>(error: &SdkError<E, HttpResponse>) -> Option<&[u8]> {
    let answer = error.raw_response().filter(|answer| answer.status().is_success())?;
    answer.body().bytes()
}

fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(code(error), Some("AccessDeniedException" | "AccessDenied"))
}

/// JSON 1.1 has times as seconds with a fraction, and as a binary number most milliseconds lie a little beside
/// themselves: half of them below. The nearest one is meant.
fn time(time: Option<&SmithyTime>) -> Option<Timestamp> {
    let millis = |time: &SmithyTime| i64::try_from((time.as_nanos() + 500_000).div_euclid(1_000_000)).ok();
    time.and_then(millis).and_then(Timestamp::from_timestamp_millis)
}

fn of_history(crawl: &CrawlerHistory) -> CrawlReport {
    CrawlReport {
        id: crawl.crawl_id().filter(|id| !id.is_empty()).map(str::to_owned),
        started_at: time(crawl.start_time()),
        finished_at: time(crawl.end_time()),
        ..report(crawl.state().map(|state| state.as_str()), crawl.error_message(), crawl.end_time().is_some())
    }
}

fn of_last_crawl(crawl: &LastCrawlInfo) -> CrawlReport {
    let word = crawl.status().map(|status| status.as_str());
    CrawlReport { started_at: time(crawl.start_time()), ..report(word, crawl.error_message(), true) }
}

impl Catalog for GlueCatalog {
    fn clock_margin(&self) -> TimeDelta {
        CLOCK_MARGIN
    }

    /// One try: the SDK would send a second one after a lost answer, and be told that a crawl runs, which is its own.
    fn start_crawl(&mut self) -> Outcome<StartAnswer> {
        let once = aws_sdk_glue::config::Builder::new().retry_config(RetryConfig::disabled());
        let request =
            self.clients.glue().start_crawler().name(&self.crawler).customize().config_override(once);
        match self.clients.block_on(request.send()) {
            Ok(_) => Ok(StartAnswer::Started),
            Err(error) if code(&error).is_some_and(|code| BUSY.contains(&code)) => {
                Ok(StartAnswer::AlreadyRunning)
            }
            Err(error) => Err(self.failure("starting (glue:StartCrawler)", &error)),
        }
    }

    /// Both answers together: a crawl shows in GetCrawler at once, and with its id in ListCrawls.
    fn crawls(&mut self, since: Timestamp) -> Outcome<Vec<CrawlReport>> {
        let listed = self.listed(since)?;
        let state = self.state()?;
        if listed.is_none() && state.is_none() {
            return Err(Failure::transient(format!(
                "neither glue:ListCrawls nor glue:GetCrawler is allowed for the Glue crawler {}, or what they answer cannot \
                 be read: allow both to the role",
                self.crawler
            )));
        }
        let mut crawls = together(listed.unwrap_or_default(), state);
        // Filters differ from service to service; what began is compared here again.
        crawls.retain(|crawl| {
            let is_old = crawl.started_at.is_some_and(|began| began < since);
            !is_old || crawl.progress == crate::ports::catalog::CrawlProgress::Running
        });
        Ok(crawls)
    }

    fn partitions(&mut self, table: &str) -> Outcome<BTreeSet<String>> {
        let table = format!("{table}_csv");
        let (mut found, mut token) = (BTreeSet::new(), None);
        for _ in 0..MOST_PAGES {
            let request =
                self.clients.glue().get_partitions().database_name(&self.database).table_name(&table);
            let request = request.exclude_column_schema(true).max_results(PARTITIONS_A_PAGE);
            let page = match self.clients.block_on(request.set_next_token(token.clone()).send()) {
                Ok(page) => page,
                // A table that is not made yet has no partitions.
                Err(error) if code(&error) == Some(NOT_FOUND) => return Ok(BTreeSet::new()),
                Err(error) => {
                    let doing =
                        format!("reading the partitions of {}.{table} (glue:GetPartitions)", self.database);
                    return Err(failure(&doing, &error));
                }
            };
            found.extend(page.partitions().iter().filter_map(|partition| date(partition.values())));
            let next = page.next_token().filter(|next| !next.is_empty()).map(str::to_owned);
            if next.is_none() || next == token {
                break;
            }
            token = next;
        }
        Ok(found)
    }
}

/// The date of a partition; others, such as those of another layout, are none of ours.
fn date(values: &[String]) -> Option<String> {
    let [value] = values else { return None };
    NaiveDate::parse_from_str(value, "%Y-%m-%d").ok().filter(|_| value.len() == 10).map(|_| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond_that_was_meant() {
        for millis in 1_795_427_012_000..1_795_427_013_000_i64 {
            let told = SmithyTime::from_secs_f64(millis as f64 / 1_000.0);
            assert_eq!(time(Some(&told)).unwrap().timestamp_millis(), millis);
        }
        let before = SmithyTime::from_secs_and_nanos(-2, 999_999_800);
        assert_eq!(time(Some(&before)).unwrap().timestamp_millis(), -1_000);
    }
}
