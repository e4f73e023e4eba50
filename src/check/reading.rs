//! Whether objects may be listed and read. S3 answers 403 where an object is missing and `s3:ListBucket` is not allowed, so
//! neither can be told without the other.

use super::arn;
use super::finding::{Report, Told};
use super::permission::{Permission, Place, permission};
use crate::ports::account::{Account, Asked, Denial, Listed};

/// What must never be there: nothing that anybody writes is called so.
const NOTHING: &str = "sluicegate-check/nothing-is-here";

/// Somewhere in a bucket.
pub(super) struct Spot<'a> {
    pub(super) place: Place,
    pub(super) region: &'a str,
    pub(super) bucket: &'a str,
    /// Empty, or with a slash at its end.
    pub(super) root: &'a str,
}

impl Spot<'_> {
    pub(super) fn permission(&self, action: &str) -> Permission {
        permission(self.place, action)
    }

    pub(super) fn bucket_arn(&self) -> String {
        arn::bucket(self.region, self.bucket)
    }

    pub(super) fn objects_arn(&self) -> String {
        arn::objects(self.region, self.bucket, self.root)
    }

    pub(super) fn no_bucket(&self) -> String {
        format!("aws s3api create-bucket --bucket {}, or correct the name in the configuration", self.bucket)
    }

    fn nothing(&self) -> String {
        format!("{}{NOTHING}", self.root)
    }
}

/// Lists and reads; the keys that were listed, where that is allowed.
pub(super) fn listing_and_reading(
    report: &mut Report,
    account: &dyn Account,
    spot: &Spot<'_>,
) -> Told<Vec<Listed>> {
    let asked = account.list(spot.bucket, spot.root);
    let permission = spot.permission("s3:ListBucket");
    let listed = report.told("listing", asked, permission, &spot.bucket_arn(), &spot.no_bucket())?;
    if let Some(listed) = &listed {
        let count = if listed.len() >= 1_000 { "1000 or more".to_owned() } else { listed.len().to_string() };
        report.ok("listing", format!("s3://{}/{}: {count} objects", spot.bucket, spot.root));
    }
    let sample = listed.iter().flatten().next();
    if let Some(sample) = sample {
        let asked = account.read(spot.bucket, &sample.key, None);
        let permission = spot.permission("s3:GetObject");
        if report.told("reading", asked, permission, &spot.objects_arn(), "")?.is_none() {
            return Ok(listed);
        }
    }
    match account.read(spot.bucket, &spot.nothing(), None) {
        Asked::Denied(denial) => missing_is_denied(report, spot, &denial, listed.is_some(), sample.is_some()),
        // What was asked for is not there, and the answer says so.
        Asked::Told(_) => report.ok("reading", "allowed; a missing object is answered as missing"),
        // Without a sample this is the first answer from the bucket's objects.
        other => {
            let permission = spot.permission("s3:GetObject");
            report.told("reading", other, permission, &spot.objects_arn(), &spot.no_bucket())?;
        }
    }
    Ok(listed)
}

/// What a 403 for a missing object means.
fn missing_is_denied(
    report: &mut Report,
    spot: &Spot<'_>,
    denial: &Denial,
    may_list: bool,
    read_something: bool,
) {
    let names_listing = denial.action.as_deref() == Some("s3:ListBucket");
    let names_reading = denial.action.as_deref() == Some("s3:GetObject");
    match (read_something || names_listing, may_list) {
        // Reading is allowed, and listing too as long as a prefix is named.
        (true, true) => report.wrong(
            "reading",
            format!("a missing object is answered as forbidden: {}", denial.words),
            format!(
                "take conditions on s3:prefix away from the statement {}",
                super::finding::statement("s3:ListBucket", &spot.bucket_arn())
            ),
        ),
        (true, false) => report.ok("reading", "allowed; only listing is not"),
        (false, true) => {
            report.denied("reading", denial, spot.permission("s3:GetObject"), &spot.objects_arn())
        }
        (false, false) if names_reading => {
            report.denied("reading", denial, spot.permission("s3:GetObject"), &spot.objects_arn());
        }
        (false, false) => report.note(
            "reading",
            "cannot be told from a missing object as long as listing is not allowed",
            "allow listing, then run check again",
        ),
    }
}

/// Lists and reads versions.
pub(super) fn versions(report: &mut Report, account: &dyn Account, spot: &Spot<'_>) -> Told<()> {
    let asked = account.list_versions(spot.bucket, spot.root);
    let permission = spot.permission("s3:ListBucketVersions");
    let listed = report.told("listing versions", asked, permission, &spot.bucket_arn(), "")?;
    if listed.is_some() {
        report.ok("listing versions", "allowed");
    }
    let sample = listed.iter().flatten().find(|listed| listed.version_id.is_some());
    let nothing = spot.nothing();
    let (key, version) = match sample {
        Some(sample) => (sample.key.as_str(), sample.version_id.as_deref()),
        None => (nothing.as_str(), Some("null")),
    };
    let permission = spot.permission("s3:GetObjectVersion");
    match account.read(spot.bucket, key, version) {
        // As above: a version that is missing looks forbidden where versions may not be listed.
        Asked::Denied(denial) if sample.is_none() && denial.action.as_deref() != Some(permission.action) => {
            if listed.is_some() && denial.action.is_none() {
                report.denied("reading versions", &denial, permission, &spot.objects_arn());
            } else {
                let found = "cannot be told from a missing version";
                report.note("reading versions", found, "run check again when the bucket holds an object");
            }
        }
        asked => {
            if report.told("reading versions", asked, permission, &spot.objects_arn(), "")?.is_some() {
                report.ok("reading versions", "allowed");
            }
        }
    }
    Ok(Some(()))
}
