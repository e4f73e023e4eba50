//! Configuration and clients of the AWS SDK, and the tokio runtime that they share.
//!
//! What is not said here is the SDK's own: region, credentials, profiles and endpoints come from the environment, the
//! shared configuration files and the machine's role. The SDK's defaults know no limit but the connect timeout (the
//! developer guide's page on timeouts), so all of them are set here on purpose.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider, StalledStreamProtectionConfig};

use sluicegate_state::seam::Seam;

use super::failure::causes;
use crate::failure::{Failure, Outcome};

/// A host that does not answer at once is tried again, perhaps at another address.
const CONNECT: Duration = Duration::from_secs(3);
/// The longest silence before an answer begins. A PUT is answered only once its body has been sent, so this is above the
/// 160 seconds that the largest single PUT is given; smaller requests end at the attempt's limit.
const S3_READ: Duration = Duration::from_secs(180);
/// One try of a request without a large body, up to the head of its answer.
const S3_ATTEMPT: Duration = Duration::from_secs(20);
/// All tries of such a request.
const S3_OPERATION: Duration = Duration::from_secs(90);
/// A long poll takes up to 20 seconds by itself; the client must wait longer than the queue does.
const SQS_ATTEMPT: Duration = Duration::from_secs(30);
const SQS_OPERATION: Duration = Duration::from_secs(90);
/// Glue and Athena answer at once; what they do takes longer, and is asked after.
const CONTROL_ATTEMPT: Duration = Duration::from_secs(20);
const CONTROL_OPERATION: Duration = Duration::from_secs(60);
/// A body that stands still this long is given up and read on over another connection.
const STALLED: Duration = Duration::from_secs(20);
/// A question of `check`: one try, and all of them. Whoever asks waits for the answer.
const QUESTION_ATTEMPT: Duration = Duration::from_secs(5);
const QUESTION_OPERATION: Duration = Duration::from_secs(10);
const QUESTION_ATTEMPTS: u32 = 2;
/// Tries of one request, where `AWS_MAX_ATTEMPTS` says nothing. The pipeline tries again on top of them, with longer
/// pauses.
const ATTEMPTS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// The threads only move bytes; what costs time is done on the callers' threads.
const RUNTIME_THREADS: usize = 2;

/// The clients of all adapters of this process and the runtime that drives them. Cheap to clone.
#[derive(Clone)]
pub struct AwsClients {
    runtime: Arc<Runtime>,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    glue: aws_sdk_glue::Client,
    athena: aws_sdk_athena::Client,
    sns: aws_sdk_sns::Client,
    region: String,
    credentials: Option<SharedCredentialsProvider>,
    seam: Seam,
}

/// How long things may take, and how often they are tried.
struct Limits {
    s3: TimeoutConfig,
    sqs: TimeoutConfig,
    control: TimeoutConfig,
    /// Where `AWS_MAX_ATTEMPTS` says nothing.
    attempts: u32,
}

impl Limits {
    /// Those of the pipeline.
    fn of_work() -> Self {
        Self {
            s3: timeouts(S3_READ, S3_ATTEMPT, S3_OPERATION),
            sqs: timeouts(SQS_ATTEMPT, SQS_ATTEMPT, SQS_OPERATION),
            control: timeouts(CONTROL_ATTEMPT, CONTROL_ATTEMPT, CONTROL_OPERATION),
            attempts: ATTEMPTS,
        }
    }

    /// Those of somebody who waits for the answer.
    fn of_questions() -> Self {
        let question = timeouts(QUESTION_ATTEMPT, QUESTION_ATTEMPT, QUESTION_OPERATION);
        Self { s3: question.clone(), sqs: question.clone(), control: question, attempts: QUESTION_ATTEMPTS }
    }
}

impl AwsClients {
    /// Clients as the environment says: `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_PROFILE` and all the others.
    ///
    /// # Errors
    /// Permanent when no region is set anywhere, since nothing can be asked for then.
    pub fn from_environment() -> Outcome<Self> {
        Self::from_loader(aws_config::defaults(BehaviorVersion::v2026_01_12()))
    }

    /// Clients from a loader that says some things itself, such as an endpoint or credentials.
    pub fn from_loader(loader: ConfigLoader) -> Outcome<Self> {
        Self::with_limits(loader, Limits::of_work())
    }

    /// Clients that ask, and do not wait long for an answer.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn for_questions() -> Outcome<Self> {
        Self::with_limits(aws_config::defaults(BehaviorVersion::v2026_01_12()), Limits::of_questions())
    }

    fn with_limits(loader: ConfigLoader, limits: Limits) -> Outcome<Self> {
        let runtime = Runtime::start()?;
        let stalled = StalledStreamProtectionConfig::enabled()
            .upload_enabled(true)
            .download_enabled(true)
            .grace_period(STALLED)
            .build();
        let config = runtime.block_on(loader.stalled_stream_protection(stalled).load());
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Failure::permanent("no AWS region is known: set AWS_REGION"));
        };
        let config = bounded_retries(config, limits.attempts);
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .timeout_config(limits.s3)
            .force_path_style(has_own_endpoint(&config))
            .build();
        let sqs = aws_sdk_sqs::config::Builder::from(&config).timeout_config(limits.sqs).build();
        let control = limits.control;
        let glue = aws_sdk_glue::config::Builder::from(&config).timeout_config(control.clone()).build();
        let athena = aws_sdk_athena::config::Builder::from(&config).timeout_config(control.clone()).build();
        let sns = aws_sdk_sns::config::Builder::from(&config).timeout_config(control).build();
        Ok(Self {
            runtime: Arc::new(runtime),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            glue: aws_sdk_glue::Client::from_conf(glue),
            athena: aws_sdk_athena::Client::from_conf(athena),
            sns: aws_sdk_sns::Client::from_conf(sns),
            region,
            credentials: config.credentials_provider(),
            seam: Seam::default(),
        })
    }

    /// The same clients with the seam of the process, for the effects that happen inside of an adapter and that no port has
    /// a word for.
    #[must_use]
    pub fn with_seam(self, seam: Seam) -> Self {
        Self { seam, ..self }
    }

    /// What such effects go through.
    pub(super) fn seam(&self) -> &Seam {
        &self.seam
    }

    /// The S3 client, for what the ports have no word for.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }

    /// The SQS client, for what the ports have no word for.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// The Glue client, for what the ports have no word for.
    pub fn glue(&self) -> &aws_sdk_glue::Client {
        &self.glue
    }

    /// The Athena client, for what the ports have no word for.
    pub fn athena(&self) -> &aws_sdk_athena::Client {
        &self.athena
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Looks for credentials as every request does.
    ///
    /// # Errors
    /// Why there are none, without any of them.
    pub fn find_credentials(&self) -> Result<(), String> {
        let provider = self.credentials.as_ref().ok_or("nothing is set up that could give any")?;
        // Made inside the runtime: a time-out belongs to one.
        let found = self.block_on(async {
            tokio::time::timeout(QUESTION_OPERATION, provider.provide_credentials()).await
        });
        match found {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(causes(&error)),
            Err(_) => Err("no answer in time from where they should come from".to_owned()),
        }
    }

    /// The SNS client, for alerts.
    pub fn sns(&self) -> &aws_sdk_sns::Client {
        &self.sns
    }

    /// Waits for `future` on a plain thread.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

fn timeouts(read: Duration, attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(read)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// Retries in the standard mode, more of them and sooner than by default; the user's own number of attempts stays.
fn bounded_retries(config: SdkConfig, attempts: u32) -> SdkConfig {
    let loaded = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let chosen = std::env::var_os("AWS_MAX_ATTEMPTS").map(|_| loaded.max_attempts());
    let retries = loaded
        .with_max_attempts(chosen.unwrap_or(attempts))
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(LONGEST_BACKOFF);
    config.into_builder().retry_config(retries).build()
}

/// A custom endpoint has no host name for each bucket: buckets are named in the path. The SDK has no variable for that.
fn has_own_endpoint(config: &SdkConfig) -> bool {
    config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some()
}

/// A tokio runtime that can be dropped anywhere.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    fn start() -> Outcome<Self> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("aws")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| {
                Failure::transient(format!("cannot start the threads that talk to AWS: {error}"))
            })
    }

    fn inner(&self) -> &tokio::runtime::Runtime {
        self.0.as_ref().expect("the runtime is there until it is dropped")
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.inner().block_on(future)
    }
}

impl Drop for Runtime {
    /// A plain drop would wait for name look-ups that hang, and panics on an asynchronous thread.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
