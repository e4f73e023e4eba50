//! This machine: where the state folder lies.

use std::path::Path;

use super::finding::Finding;

/// File systems over a network, which do not lock and do not sync as SQLite needs it (SQLite's page on corruption, and on
/// write-ahead logging: "does not work over a network filesystem").
const NETWORK: [&str; 14] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
];
/// File systems that are empty after a reboot.
const MEMORY: [&str; 2] = ["ramfs", "tmpfs"];
/// Less free than this is worth a word, and less than this is wrong, in KiB.
const NOTE_BELOW: u64 = 1 << 20;
const WRONG_BELOW: u64 = 100 << 10;
const LOCAL: &str =
    "set SLUICEGATE_STATE to a folder on a local disk; a state that is left behind is rebuilt";

/// The kind of file system that a folder lies on, out of the text of `/proc/mounts` (proc(5)).
pub fn file_system<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(place), Some(kind)) = (fields.nth(1), fields.next()) else { continue };
        // Blanks and the like are written in octal.
        let place = place.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        let depth = Path::new(&place).components().count();
        // A later mount on the same place hides the earlier one.
        if folder.starts_with(&place) && best.is_none_or(|(known, _)| depth >= known) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Free KiB, out of what `df -Pk` prints (POSIX).
pub fn free_kib(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// What it means that the state lies there.
pub fn disk(file_system: Option<&str>, free_kib: Option<u64>) -> Vec<Finding> {
    const WHAT: &str = "state: disk";
    let mut findings = Vec::new();
    match file_system {
        Some(kind) if NETWORK.contains(&kind) => {
            let found =
                format!("it lies on a network file system ({kind}), which neither locks nor syncs for sure");
            findings.push(Finding::wrong(WHAT, found, LOCAL));
        }
        Some(kind) if MEMORY.contains(&kind) => {
            let found = format!("it lies in memory ({kind}): after a reboot the journal is gone");
            findings.push(Finding::note(WHAT, found, LOCAL));
        }
        _ => {}
    }
    if let Some(free) = free_kib {
        let found = format!("{} MiB free", free >> 10);
        findings.push(match free {
            ..WRONG_BELOW => Finding::wrong(WHAT, found, "make room: a full disk stops everything"),
            WRONG_BELOW..NOTE_BELOW => Finding::note(WHAT, found, "make room before it is full"),
            _ => Finding::ok(WHAT, found),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const MOUNTS: &str = "/dev/a / ext4 rw 0 0\nhost:/x /srv nfs4 rw 0 0\n/dev/b /srv/my\\040disk xfs rw 0 0\n\
                          tmpfs /run tmpfs rw 0 0\n/dev/c /run ext4 rw 0 0\n";

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        for (folder, kind) in [
            ("/var/lib", "ext4"),
            ("/srv/state", "nfs4"),
            ("/srv/my disk/state", "xfs"),
            ("/srvother", "ext4"),
            ("/run/x", "ext4"),
        ] {
            assert_eq!(file_system(MOUNTS, Path::new(folder)), Some(kind), "{folder}");
        }
        assert_eq!(file_system("", Path::new("/var")), None);
    }

    #[test]
    fn a_network_or_a_full_disk_is_wrong() {
        let levels =
            |kind, free| disk(kind, free).into_iter().map(|finding| finding.level).collect::<Vec<_>>();
        assert_eq!(levels(Some("nfs4"), None), [Level::Wrong]);
        assert_eq!(levels(Some("tmpfs"), Some(5 << 20)), [Level::Note, Level::Ok]);
        assert_eq!(levels(Some("ext4"), Some(500 << 10)), [Level::Note]);
        assert_eq!(levels(Some("ext4"), Some(50 << 10)), [Level::Wrong]);
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 100 40 60 40% /\n";
        assert_eq!(free_kib(df), Some(60));
    }
}
