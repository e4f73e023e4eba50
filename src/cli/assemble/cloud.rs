//! The AWS adapters, where they are compiled in.

#[cfg(feature = "aws")]
pub(super) use with_aws::{
    account, athena, crawler, definitions, landing, own_store, queue_inbox, sns_inbox, supports,
    supports_crawler, supports_queue, supports_sns, supports_topic, topic_alarm,
};
#[cfg(not(feature = "aws"))]
pub(super) use without_aws::{
    account, athena, crawler, definitions, landing, own_store, queue_inbox, sns_inbox, supports,
    supports_crawler, supports_queue, supports_sns, supports_topic, topic_alarm,
};

#[cfg(feature = "aws")]
mod with_aws {
    use std::collections::BTreeMap;
    use std::sync::{Arc, OnceLock};

    use crate::aws::{
        AthenaOptions, AthenaQueryEngine, AwsAccount, AwsClients, GlueCatalog, GlueDefinitions, Mode,
        S3Store, SnsAlarm, SqsInbox, SqsOptions, StatementPlace,
    };
    use crate::cli::exit::Stop;
    use crate::cli::seam::seam;
    use crate::config::{Config, Location, TopicArn};
    use crate::job::Job;
    use crate::pipeline::context::Context;
    use crate::ports::account::Account;
    use crate::ports::alarm::Alarm;
    use crate::ports::catalog::Catalog;
    use crate::ports::definitions::Definitions;
    use crate::ports::inbox::Inbox;
    use crate::ports::object_store::ObjectStore;
    use crate::ports::query_engine::{Interrupt, QueryEngine};
    use crate::sns::{Route, SnsInbox, SnsParts};

    /// The clients are made when something first needs them: credentials and regions are looked up only then.
    fn clients() -> Result<AwsClients, Stop> {
        static CLIENTS: OnceLock<AwsClients> = OnceLock::new();
        if let Some(clients) = CLIENTS.get() {
            return Ok(clients.clone());
        }
        let made = AwsClients::from_environment()?.with_seam(seam());
        Ok(CLIENTS.get_or_init(|| made).clone())
    }

    /// Clients of its own: whoever asks does not wait as long as work does.
    pub(in crate::cli::assemble) fn account() -> Result<Option<Arc<dyn Account>>, Stop> {
        Ok(Some(Arc::new(AwsAccount::from_environment()?)))
    }

    pub(in crate::cli::assemble) fn supports(_location: &Location) -> Result<(), Stop> {
        Ok(())
    }

    pub(in crate::cli::assemble) fn supports_queue(_queue: &str) -> Result<(), Stop> {
        Ok(())
    }

    pub(in crate::cli::assemble) fn supports_crawler(_crawler: &str) -> Result<(), Stop> {
        Ok(())
    }

    /// The Glue crawler of a job.
    pub(in crate::cli::assemble) fn crawler(crawler: &str, database: &str) -> Result<Box<dyn Catalog>, Stop> {
        Ok(Box::new(GlueCatalog::new(clients()?, crawler, database)))
    }

    pub(in crate::cli::assemble) fn supports_topic(_topic: &str) -> Result<(), Stop> {
        Ok(())
    }

    pub(in crate::cli::assemble) fn supports_sns(_address: &str) -> Result<(), Stop> {
        Ok(())
    }

    fn bucket_of(location: &Location) -> (&str, &str) {
        match location {
            Location::S3 { bucket, prefix } => (bucket, prefix),
            Location::Folder(_) => unreachable!("folders have their own adapter"),
        }
    }

    /// Keys in a landing bucket are whole keys, as notifications name them.
    pub(in crate::cli::assemble) fn landing(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
        let (bucket, _) = bucket_of(location);
        Ok(Arc::new(S3Store::landing(clients()?, bucket)))
    }

    /// Keys of our own objects begin behind the prefix.
    pub(in crate::cli::assemble) fn own_store(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
        let (bucket, prefix) = bucket_of(location);
        Ok(Arc::new(S3Store::under(clients()?, bucket, prefix)))
    }

    pub(in crate::cli::assemble) fn topic_alarm(topic: &str) -> Result<Box<dyn Alarm>, Stop> {
        Ok(Box::new(SnsAlarm::new(clients()?, topic)))
    }

    /// One queue for all jobs whose documents land in buckets.
    pub(in crate::cli::assemble) fn queue_inbox(
        queue: &str,
        jobs: &BTreeMap<String, Arc<Job>>,
        watch: bool,
    ) -> Result<Box<dyn Inbox>, Stop> {
        let mode = if watch { Mode::Watch } else { Mode::Drain };
        Ok(Box::new(SqsInbox::new(clients()?, queue, route(jobs), mode, SqsOptions::default())))
    }

    /// One endpoint for all jobs whose documents land in buckets. It listens when this returns.
    pub(in crate::cli::assemble) fn sns_inbox(
        address: &str,
        topic: &str,
        context: &Context,
    ) -> Result<Box<dyn Inbox>, Stop> {
        let topic =
            TopicArn::parse(topic).map_err(|problem| Stop::usage(format!("SLUICEGATE_TOPIC: {problem}")))?;
        let parts = SnsParts::new(topic, route(&context.jobs), context.clock.clone(), context.seam.clone())?;
        Ok(Box::new(SnsInbox::start(address, parts)?))
    }

    /// Finds the job of an object in a bucket.
    fn route(jobs: &BTreeMap<String, Arc<Job>>) -> Route {
        let in_buckets = jobs.values().filter(|job| matches!(job.landing, Location::S3 { .. }));
        let jobs: Vec<Arc<Job>> = in_buckets.cloned().collect();
        Arc::new(move |bucket, key| {
            jobs.iter().find(|job| job.matches(bucket, key)).map(|job| job.name.clone())
        })
    }

    /// The Glue Data Catalog; views are made in Athena.
    pub(in crate::cli::assemble) fn definitions(config: &Config) -> Result<Box<dyn Definitions>, Stop> {
        let place = StatementPlace {
            workgroup: config.settings.athena_workgroup.clone(),
            output: config.settings.athena_output.clone(),
        };
        Ok(Box::new(GlueDefinitions::new(clients()?, place)))
    }

    /// Athena over the Glue tables of all jobs.
    pub(in crate::cli::assemble) fn athena(
        config: &Config,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn QueryEngine>, Stop> {
        let settings = &config.settings;
        let options = AthenaOptions {
            workgroup: settings.athena_workgroup.clone(),
            database: settings.catalog_database.clone(),
            output: settings.athena_output.clone(),
        };
        let schemas = config.jobs.iter().map(|job| job.definition.schema().clone()).collect();
        Ok(Box::new(AthenaQueryEngine::new(clients()?, options, schemas, interrupt.clone())))
    }
}

#[cfg(not(feature = "aws"))]
mod without_aws {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::cli::exit::Stop;
    use crate::config::{Config, Location};
    use crate::job::Job;
    use crate::pipeline::context::Context;
    use crate::ports::account::Account;
    use crate::ports::alarm::Alarm;
    use crate::ports::catalog::Catalog;
    use crate::ports::definitions::Definitions;
    use crate::ports::inbox::Inbox;
    use crate::ports::object_store::ObjectStore;
    use crate::ports::query_engine::{Interrupt, QueryEngine};

    fn not_built_in(what: impl std::fmt::Display) -> Stop {
        Stop::usage(format!("{what}: this program was built without AWS; build it with the default features"))
    }

    pub(in crate::cli::assemble) fn account() -> Result<Option<Arc<dyn Account>>, Stop> {
        Ok(None)
    }

    pub(in crate::cli::assemble) fn supports(location: &Location) -> Result<(), Stop> {
        match location {
            Location::Folder(_) => Ok(()),
            Location::S3 { .. } => Err(not_built_in(location)),
        }
    }

    pub(in crate::cli::assemble) fn supports_queue(queue: &str) -> Result<(), Stop> {
        Err(not_built_in(format!("the queue {queue}")))
    }

    pub(in crate::cli::assemble) fn supports_crawler(crawler: &str) -> Result<(), Stop> {
        Err(not_built_in(format!("the Glue crawler {crawler}")))
    }

    pub(in crate::cli::assemble) fn crawler(
        crawler: &str,
        _database: &str,
    ) -> Result<Box<dyn Catalog>, Stop> {
        Err(not_built_in(format!("the Glue crawler {crawler}")))
    }

    pub(in crate::cli::assemble) fn supports_topic(topic: &str) -> Result<(), Stop> {
        Err(not_built_in(format!("the topic {topic}")))
    }

    pub(in crate::cli::assemble) fn supports_sns(address: &str) -> Result<(), Stop> {
        Err(not_built_in(format!("SLUICEGATE_SNS_LISTEN {address}")))
    }

    pub(in crate::cli::assemble) fn sns_inbox(
        address: &str,
        _topic: &str,
        _context: &Context,
    ) -> Result<Box<dyn Inbox>, Stop> {
        Err(not_built_in(format!("SLUICEGATE_SNS_LISTEN {address}")))
    }

    pub(in crate::cli::assemble) fn landing(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
        Err(not_built_in(location))
    }

    pub(in crate::cli::assemble) fn own_store(location: &Location) -> Result<Arc<dyn ObjectStore>, Stop> {
        Err(not_built_in(location))
    }

    pub(in crate::cli::assemble) fn topic_alarm(topic: &str) -> Result<Box<dyn Alarm>, Stop> {
        Err(not_built_in(format!("the topic {topic}")))
    }

    pub(in crate::cli::assemble) fn queue_inbox(
        queue: &str,
        _jobs: &BTreeMap<String, Arc<Job>>,
        _watch: bool,
    ) -> Result<Box<dyn Inbox>, Stop> {
        Err(not_built_in(format!("the queue {queue}")))
    }

    pub(in crate::cli::assemble) fn definitions(config: &Config) -> Result<Box<dyn Definitions>, Stop> {
        let database = config.settings.catalog_database.as_deref().unwrap_or_default();
        Err(not_built_in(format!("the Glue database {database}")))
    }

    pub(in crate::cli::assemble) fn athena(
        config: &Config,
        _interrupt: &Interrupt,
    ) -> Result<Box<dyn QueryEngine>, Stop> {
        Err(not_built_in(&config.settings.curated))
    }
}
