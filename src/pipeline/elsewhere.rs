//! Documents that a batch came too late to read and that another archive holds: two machines were told of them, or a
//! state came back as an old copy. The archive that has read a document decides about it, whichever batch is loaded first
//! (I4, I9); what is loaded already is known to the ledger, which is asked as the documents are claimed.

use std::collections::BTreeSet;

use chrono::{NaiveDateTime, TimeDelta};
use sluicegate_state::{Store, Timestamp};

use crate::archive::{Got, Manifest, ManifestMember, Outcomes, batch_id_of, object_key, read_outcomes};
use crate::failure::{FailureKind, Outcome};
use crate::ports::warehouse::{DocumentOutcome, LoadDocument, LoadRequest, Warehouse};

use super::archived::{ArchivedBatch, read_archive};
use super::context::Context;
use super::documents::archive_failure;
use super::missed::{ids, read_manifest};

/// The archive is listed day by day; over more days than these all of it is.
const MOST_DAYS: i64 = 31;
/// How far the clocks of machines, and the storage's, may be apart, and more than that.
const CLOCK_SPREAD: TimeDelta = TimeDelta::minutes(15);

/// When a batch was sealed that may have read a document: after it landed, and before it was found to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sealed {
    from: Timestamp,
    until: Timestamp,
}

impl Sealed {
    fn holds(self, batch_id: &str) -> bool {
        let time = batch_id.split_once('-').map_or("", |(time, _)| time);
        let sealed_at = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ");
        sealed_at.is_ok_and(|at| (self.from..=self.until).contains(&at.and_utc()))
    }

    /// What of the archive has to be listed.
    fn prefixes(self, job: &str) -> Vec<String> {
        let (first, last) = (self.from.date_naive(), self.until.date_naive());
        if (last - first).num_days() > MOST_DAYS {
            return vec![format!("{job}/")];
        }
        first.iter_days().take_while(|day| *day <= last).map(|day| format!("{job}/dt={day}/")).collect()
    }
}

/// Gives every document that `request` could not read, and that an archive which is not loaded yet holds, the verdict
/// `again`. Where all could be read, as nearly always, nothing is asked.
pub fn leave_to_whom_has_read(
    context: &Context,
    store: &Store,
    warehouse: &mut dyn Warehouse,
    archived: &ArchivedBatch,
    request: &mut LoadRequest,
) -> Outcome<()> {
    let manifest = &archived.manifest;
    // A replay reads archives, and takes over what others have decided by its own rules.
    if !request.parents.is_empty() || !request.documents.iter().any(came_too_late) {
        return Ok(());
    }
    // Two notifications of one document may be in one batch, and it may have been overwritten between their GETs.
    leave_what_was_read(manifest, &archived.outcomes, manifest, request);
    if !request.documents.iter().any(came_too_late) {
        return Ok(());
    }
    let landed = late(manifest, request).into_iter().map(|member| member.event_time);
    let until = archived.outcomes.fetched_at.unwrap_or_else(|| context.clock.now()) + CLOCK_SPREAD;
    let sealed = Sealed { from: landed.min().unwrap_or(until) - CLOCK_SPREAD, until };
    let keys: Vec<String> = candidates(context, store, manifest, request, sealed)?.into_iter().collect();
    let loaded = warehouse.known_batches(&ids(&keys))?;
    for key in keys {
        if batch_id_of(&key).is_none_or(|(_, batch_id)| loaded.contains(batch_id)) {
            continue;
        }
        match look_into(context, &key, manifest, request) {
            // It says nothing, and whoever loads it says what is wrong with it.
            Err(failure) if failure.kind == FailureKind::Permanent => {
                tracing::warn!("{key} cannot be asked what it holds: {failure}");
            }
            looked => looked?,
        }
    }
    Ok(())
}

/// What another archive may hold: it is not there any more, or not as it was announced.
fn came_too_late(document: &LoadDocument) -> bool {
    use DocumentOutcome::{Expired, Missing, Superseded};
    matches!(document.unread, Some((Expired | Missing | Superseded, _)))
}

/// The members of the batch that came too late.
fn late<'m>(manifest: &'m Manifest, request: &LoadRequest) -> Vec<&'m ManifestMember> {
    let is_late =
        |member: &&ManifestMember| request.documents.get(member.ordinal as usize).is_some_and(came_too_late);
    manifest.members.iter().filter(is_late).collect()
}

/// Keys of the archive objects that may hold one of them: of this state's batches those that it is a member of, and those
/// of other machines since it landed.
fn candidates(
    context: &Context,
    store: &Store,
    manifest: &Manifest,
    request: &LoadRequest,
    sealed: Sealed,
) -> Outcome<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for member in late(manifest, request) {
        for entry in store.notifications_for_key(&member.key)? {
            let batches = store.batches_of_notification(entry.notification_id)?;
            found.extend(batches.iter().map(|(batch_id, _)| object_key(&manifest.job, batch_id)));
        }
    }
    for prefix in sealed.prefixes(&manifest.job) {
        context.archive.list(&prefix, &mut |info| {
            let batch = batch_id_of(&info.key).filter(|(owner, _)| *owner == manifest.job);
            if let Some((_, batch_id)) = batch
                && sealed.holds(batch_id)
                && store.batch(batch_id)?.is_none()
            {
                found.insert(info.key);
            }
            Ok(())
        })?;
    }
    found.remove(&object_key(&manifest.job, &manifest.batch_id));
    Ok(found)
}

fn look_into(context: &Context, key: &str, manifest: &Manifest, request: &mut LoadRequest) -> Outcome<()> {
    let Some(other) = read_manifest(context, key)? else { return Ok(()) };
    let keys: BTreeSet<&str> = other.members.iter().map(|member| member.key.as_str()).collect();
    // The outcomes lie at the end of the object, and mostly the manifest has nothing to do with us.
    if !late(manifest, request).iter().any(|member| keys.contains(member.key.as_str())) {
        return Ok(());
    }
    let Some(mut copy) = read_archive(context, key)? else { return Ok(()) };
    let outcomes = read_outcomes(&mut copy.file).map_err(archive_failure)?;
    leave_what_was_read(&other, &outcomes, manifest, request);
    Ok(())
}

/// Leaves every member that came too late to `other`, where that has read the object; it may be the batch itself.
fn leave_what_was_read(
    other: &Manifest,
    outcomes: &Outcomes,
    manifest: &Manifest,
    request: &mut LoadRequest,
) {
    for member in late(manifest, request).into_iter().filter(|member| has_read(other, outcomes, member)) {
        let reason = format!("batch {} has read this object, and decides about it", other.batch_id);
        request.documents[member.ordinal as usize].unread = Some((DocumentOutcome::Again, reason));
    }
}

/// Whether the other archive holds the very object that `member` was announced as.
fn has_read(other: &Manifest, outcomes: &Outcomes, member: &ManifestMember) -> bool {
    other.members.iter().any(|theirs| {
        let is_it = theirs.key == member.key && theirs.bucket == member.bucket;
        let outcome = outcomes.member(theirs.ordinal).filter(|outcome| is_it && outcome.got == Got::Ok);
        outcome.is_some_and(|outcome| match &member.version_id {
            Some(version_id) => outcome.version == *version_id,
            // An upload of the same content again has the same eTag and is another document.
            None => theirs.etag == member.etag && member.event_time >= outcome.landed_at,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::MemberOutcome;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn announced(ordinal: u32, sequencer: Option<&str>) -> ManifestMember {
        ManifestMember {
            ordinal,
            bucket: "landing".to_owned(),
            key: "a.txt".to_owned(),
            version_id: None,
            etag: "e".to_owned(),
            sequencer: sequencer.map(str::to_owned),
            size: Some(1),
            event_time: at("2026-03-01T10:00:00Z"),
            tries: 0,
            expires_at: None,
        }
    }

    fn got(member: &ManifestMember, got: Got) -> MemberOutcome {
        let is_read = got == Got::Ok;
        MemberOutcome {
            ordinal: member.ordinal,
            got,
            version: if is_read { "e@2026-03-01T10:00:00Z" } else { "e@" }.to_owned(),
            landed_at: member.event_time,
            size: 1,
            sha256: is_read.then(|| "00".repeat(32)),
            message: None,
            frame: None,
        }
    }

    fn to_load(outcome: &MemberOutcome) -> LoadDocument {
        let superseded = (DocumentOutcome::Superseded, "overwritten".to_owned());
        LoadDocument {
            ordinal: outcome.ordinal,
            bucket: "landing".to_owned(),
            key: "a.txt".to_owned(),
            version: outcome.version.clone(),
            etag: "e".to_owned(),
            landed_at: outcome.landed_at,
            day: outcome.landed_at.date_naive(),
            size: outcome.size,
            sha256: outcome.sha256.clone(),
            source_order: String::new(),
            unread: (outcome.got != Got::Ok).then_some(superseded),
        }
    }

    #[test]
    fn a_document_that_the_same_batch_has_read_before_it_was_overwritten_has_one_outcome() {
        let (batch_id, hash) = ("20260301T100100Z-0123456789abcdef".to_owned(), "00".repeat(32));
        let manifest = Manifest {
            format_version: crate::archive::FORMAT_VERSION,
            batch_id: batch_id.clone(),
            job: "j".to_owned(),
            sealed_at: at("2026-03-01T10:01:00Z"),
            incarnation: "me".to_owned(),
            host: "host".to_owned(),
            definition_hash: hash.clone(),
            definition_text: String::new(),
            parents: Vec::new(),
            replay: 0,
            members: vec![announced(0, None), announced(1, Some("1"))],
        };
        let read = [(0, Got::Ok), (1, Got::Overwritten)];
        let members: Vec<MemberOutcome> =
            read.map(|(index, said)| got(&manifest.members[index], said)).into();
        let documents = members.iter().map(to_load).collect();
        let outcomes = Outcomes { format_version: crate::archive::FORMAT_VERSION, members, fetched_at: None };
        let mut request = LoadRequest {
            batch_id,
            job: "j".to_owned(),
            sealed_at: manifest.sealed_at,
            incarnation: "me".to_owned(),
            archive_key: String::new(),
            definition_hash: hash,
            definition_text: String::new(),
            replace: false,
            parents: Vec::new(),
            replay: 0,
            documents,
        };
        leave_what_was_read(&manifest, &outcomes, &manifest, &mut request);
        let unread: Vec<Option<DocumentOutcome>> = request
            .documents
            .iter()
            .map(|document| document.unread.as_ref().map(|unread| unread.0))
            .collect();
        assert_eq!(unread, [None, Some(DocumentOutcome::Again)]);
    }

    #[test]
    fn only_what_was_sealed_between_the_landing_and_the_reading_is_asked() {
        let sealed = Sealed { from: at("2026-03-01T23:50:00Z"), until: at("2026-03-03T00:10:00Z") };
        assert_eq!(sealed.prefixes("j"), ["j/dt=2026-03-01/", "j/dt=2026-03-02/", "j/dt=2026-03-03/"]);
        for (time, holds) in [
            ("20260301T234959Z", false),
            ("20260301T235000Z", true),
            ("20260303T001000Z", true),
            ("20260303T001001Z", false),
            ("no time", false),
        ] {
            assert_eq!(sealed.holds(&format!("{time}-0123456789abcdef")), holds, "{time}");
        }
        let long = Sealed { from: at("2025-01-01T00:00:00Z"), ..sealed };
        assert_eq!(long.prefixes("j"), ["j/"]);
        let backwards = Sealed { from: at("2027-01-01T00:00:00Z"), ..sealed };
        assert!(backwards.prefixes("j").is_empty(), "an event of the future");
    }
}
