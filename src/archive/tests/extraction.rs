//! Goal: people open an archive with the programs that they have.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Manifest, Outcomes, member_path};
use super::{TestMember, odd_keys, write};

fn members() -> Vec<TestMember> {
    let mut members: Vec<TestMember> =
        odd_keys().into_iter().map(|key| (key.clone(), Some(key.repeat(3).into_bytes()))).collect();
    // One key is the folder of another one: their ordinals keep them apart.
    members.push(("plain.txt/below".into(), Some(b"below".to_vec())));
    members.push(("gone".into(), None));
    members
}

fn expected_files(members: &[TestMember]) -> BTreeMap<String, Vec<u8>> {
    let read = (0..).zip(members).filter_map(|(ordinal, (key, bytes))| Some((ordinal, key, bytes.clone()?)));
    read.map(|(ordinal, key, bytes)| (member_path(ordinal, key), bytes)).collect()
}

fn check_index(files: &mut BTreeMap<String, Vec<u8>>, members: &[TestMember]) {
    let manifest = files.remove("manifest.json").expect("there is a manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("it is one");
    assert!(manifest.members.iter().map(|member| &member.key).eq(members.iter().map(|(key, _)| key)));
    let outcomes = files.remove("outcomes.json").expect("there are outcomes");
    let outcomes: Outcomes = serde_json::from_slice(&outcomes).expect("they are");
    assert_eq!(outcomes.members.len(), members.len());
}

#[test]
fn the_tar_crate_reads_it() {
    let members = members();
    let archive = write(&members).spool;
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive.as_slice()).expect("it is zstd"));
    let mut files = BTreeMap::new();
    for entry in tar.entries().expect("it is tar") {
        let mut entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!(
            (header.uid().ok(), header.gid().ok(), header.mode().ok()),
            (Some(0), Some(0), Some(0o644))
        );
        let name = String::from_utf8(entry.path_bytes().into_owned()).expect("names are UTF-8");
        let in_seconds = if name.contains('/') { 1_522_490_398 } else { 1_522_491_072 };
        assert_eq!(entry.header().mtime().ok(), Some(in_seconds));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("its data");
        assert!(files.insert(name, bytes).is_none());
    }
    check_index(&mut files, &members);
    assert_eq!(files, expected_files(&members));
}

fn installed(program: &str) -> bool {
    let silent = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    silent.is_ok_and(|status| status.success())
}

fn files_below(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it is below").to_str().expect("names are UTF-8");
            files.insert(name.into(), fs::read(&path).expect("its data"));
        }
    }
}

#[test]
fn the_tar_program_extracts_it() {
    if !installed("tar") || !installed("zstd") {
        eprintln!("skipped: tar and zstd are not both installed");
        return;
    }
    let members = members();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = folder.path().join("batch.tar.zst");
    fs::write(&object, write(&members).spool).expect("it is written");
    let target = folder.path().join("extracted");
    fs::create_dir(&target).expect("a folder");
    let done = Command::new("tar").args(["--zstd", "-xf"]).arg(&object).arg("-C").arg(&target).output();
    let done = done.expect("tar runs");
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut files = BTreeMap::new();
    files_below(&target, &target, &mut files);
    check_index(&mut files, &members);
    assert_eq!(files, expected_files(&members));

    let tested = Command::new("zstd").args(["--test", "--quiet"]).arg(&object).status();
    assert!(tested.expect("zstd runs").success());
}
