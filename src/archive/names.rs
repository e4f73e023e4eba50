//! The names of archive objects in the store, and of members inside an archive.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// The highest ordinal that fits the six digits of a member's path.
pub const MAX_ORDINAL: u32 = 999_999;

/// What file systems allow for one segment of a path.
const MAX_SEGMENT_BYTES: usize = 255;
/// Well below what operating systems allow for a path, so that the folder it is extracted into may have a name too.
const MAX_PATH_BYTES: usize = 2048;
/// What stays readable of a segment that is too long.
const KEPT_BYTES: usize = 200;
/// No encoded byte begins with `%~`, so a shortened segment is never taken for the encoding of another one.
const SHORTENED: &str = "%~";
/// An empty segment; a `%` in a key is always followed by its two digits.
const EMPTY: &str = "%";

const SUFFIX: &str = ".tar.zst";

/// The key of a batch's archive object, relative to the archive's root: `<job>/dt=YYYY-MM-DD/<batch_id>.tar.zst`.
///
/// # Panics
/// If `batch_id` is none: ids are made at sealing only, and text from elsewhere is tried with [`batch_date`] first.
pub fn object_key(job: &str, batch_id: &str) -> String {
    let date = batch_date(batch_id).expect("a batch id begins with the date of its sealing");
    format!("{job}/dt={date}/{batch_id}{SUFFIX}")
}

/// The date in a batch id (`YYYYMMDDTHHMMSSZ-<16 hex>`) as `YYYY-MM-DD`; none if it is no batch id.
pub fn batch_date(batch_id: &str) -> Option<String> {
    let (time, hash) = batch_id.split_once('-')?;
    let lower_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    if hash.len() != 16 || !hash.chars().all(lower_hex) || time.len() != 16 {
        return None;
    }
    let time = chrono::NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.format("%Y-%m-%d").to_string())
}

/// The job and the batch id in the key of an archive object; none if the key is not one that [`object_key`] makes.
pub fn batch_id_of(object_key: &str) -> Option<(&str, &str)> {
    let (folder, name) = object_key.rsplit_once('/')?;
    let (job, date) = folder.rsplit_once("/dt=")?;
    let batch_id = name.strip_suffix(SUFFIX)?;
    (batch_date(batch_id)? == date).then_some((job, batch_id))
}

/// The path of a member in its archive: `NNNNNN/<key>`.
///
/// It always extracts, and only below the folder it is extracted into: what would be unsafe or unclear in a file name
/// is percent-encoded (reversibly), what is too long ends in a hash. The manifest keeps the true key.
pub fn member_path(ordinal: u32, key: &str) -> String {
    let mut path = format!("{ordinal:06}");
    for segment in key.split('/') {
        path.push('/');
        path.push_str(&shorten(encode_segment(segment)));
    }
    if path.len() > MAX_PATH_BYTES {
        return format!("{ordinal:06}/{SHORTENED}{}", hex::encode(Sha256::digest(key)));
    }
    path
}

/// One segment with everything unsafe percent-encoded.
fn encode_segment(segment: &str) -> Cow<'_, str> {
    if segment.is_empty() {
        return Cow::Borrowed(EMPTY);
    }
    // Blanks at the ends get lost in shells and on other systems, and so do dots at the end, which `.` and `..` are
    // made of; a name that begins with `-` or `~` means something else to programs and shells.
    let leading = segment.len() - segment.trim_start_matches([' ', '-', '~']).len();
    let trailing = segment.trim_end_matches([' ', '.']).len();
    let unsafe_at = |place: usize, c: char| {
        place < leading || place >= trailing || c.is_control() || matches!(c, '%' | '\\')
    };
    if !segment.char_indices().any(|(place, c)| unsafe_at(place, c)) {
        return Cow::Borrowed(segment);
    }
    let mut encoded = String::with_capacity(segment.len() + 8);
    for (place, c) in segment.char_indices() {
        if unsafe_at(place, c) { percent_encode(&mut encoded, c) } else { encoded.push(c) }
    }
    Cow::Owned(encoded)
}

fn percent_encode(encoded: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        encoded.push('%');
        encoded.push_str(&hex::encode_upper([byte]));
    }
}

/// A segment that a file system takes: the beginning stays readable, the hash keeps different ones apart.
fn shorten(segment: Cow<'_, str>) -> Cow<'_, str> {
    if segment.len() <= MAX_SEGMENT_BYTES {
        return segment;
    }
    let mut end = segment.floor_char_boundary(KEPT_BYTES);
    // The cut may not go through a `%XX`.
    if let Some(percent) = segment[..end].rfind('%').filter(|percent| percent + 3 > end) {
        end = percent;
    }
    let hash = hex::encode(&Sha256::digest(segment.as_bytes())[..16]);
    Cow::Owned(format!("{}{SHORTENED}{hash}", &segment[..end]))
}
