//! The permissions that a role needs: one list, for the probes and for the policy in `docs/iam.md`.

/// What a permission is about; also the `Sid` of its statement in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The bucket that customers fill.
    Landing,
    /// The bucket of the originals.
    Archive,
    /// The bucket of the CSV objects.
    Curated,
    /// The queue.
    Queue,
    /// The topic that posts to us.
    Topic,
    /// The topic that people are told by.
    Alerts,
    /// The crawler, its database and its tables.
    Catalog,
    /// The workgroup.
    Athena,
    /// The bucket of Athena's results.
    Results,
}

impl Place {
    /// The name in the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Landing => "Landing",
            Self::Archive => "Archive",
            Self::Curated => "Curated",
            Self::Queue => "Queue",
            Self::Topic => "Topic",
            Self::Alerts => "Alerts",
            Self::Catalog => "Catalog",
            Self::Athena => "Athena",
            Self::Results => "Results",
        }
    }
}

/// One action of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// What it is about.
    pub place: Place,
    /// The action as IAM names it.
    pub action: &'static str,
    /// Whether work stands still without it; else something is only not known, or costs more.
    pub is_needed: bool,
}

const fn needed(place: Place, action: &'static str) -> Permission {
    Permission { place, action, is_needed: true }
}

const fn useful(place: Place, action: &'static str) -> Permission {
    Permission { place, action, is_needed: false }
}

/// Every permission, in the order of the policy.
pub const PERMISSIONS: [Permission; 38] = [
    needed(Place::Landing, "s3:ListBucket"),
    needed(Place::Landing, "s3:GetObject"),
    needed(Place::Landing, "s3:GetBucketVersioning"),
    needed(Place::Landing, "s3:ListBucketVersions"),
    needed(Place::Landing, "s3:GetObjectVersion"),
    useful(Place::Landing, "s3:GetLifecycleConfiguration"),
    useful(Place::Landing, "s3:GetBucketNotification"),
    needed(Place::Archive, "s3:ListBucket"),
    needed(Place::Archive, "s3:GetObject"),
    needed(Place::Archive, "s3:PutObject"),
    needed(Place::Archive, "s3:AbortMultipartUpload"),
    useful(Place::Archive, "s3:GetLifecycleConfiguration"),
    needed(Place::Curated, "s3:ListBucket"),
    needed(Place::Curated, "s3:GetObject"),
    needed(Place::Curated, "s3:PutObject"),
    needed(Place::Curated, "s3:AbortMultipartUpload"),
    useful(Place::Curated, "s3:GetLifecycleConfiguration"),
    needed(Place::Queue, "sqs:ReceiveMessage"),
    needed(Place::Queue, "sqs:DeleteMessage"),
    needed(Place::Queue, "sqs:ChangeMessageVisibility"),
    useful(Place::Queue, "sqs:GetQueueAttributes"),
    useful(Place::Topic, "sns:GetTopicAttributes"),
    needed(Place::Alerts, "sns:Publish"),
    needed(Place::Catalog, "glue:StartCrawler"),
    needed(Place::Catalog, "glue:GetCrawler"),
    useful(Place::Catalog, "glue:ListCrawls"),
    needed(Place::Catalog, "glue:GetDatabase"),
    needed(Place::Catalog, "glue:GetTable"),
    needed(Place::Catalog, "glue:GetPartitions"),
    needed(Place::Athena, "athena:StartQueryExecution"),
    needed(Place::Athena, "athena:GetQueryExecution"),
    needed(Place::Athena, "athena:GetQueryResults"),
    needed(Place::Athena, "athena:StopQueryExecution"),
    useful(Place::Athena, "athena:GetWorkGroup"),
    needed(Place::Results, "s3:GetBucketLocation"),
    needed(Place::Results, "s3:ListBucket"),
    needed(Place::Results, "s3:GetObject"),
    needed(Place::Results, "s3:PutObject"),
];

/// The permission of a place, by its action.
pub(super) fn permission(place: Place, action: &str) -> Permission {
    let found = PERMISSIONS.iter().find(|known| known.place == place && known.action == action);
    *found.unwrap_or_else(|| unreachable!("{action} of {place:?} is in the list"))
}
