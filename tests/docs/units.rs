//! systemd/README.md against the units.

use crate::{files, page, quoted, root, table};

#[test]
fn every_unit_is_described() {
    let page = page("systemd/README.md");
    let mut told: Vec<String> = table(&page).iter().flat_map(|row| quoted(&row[0])).collect();
    told.sort();
    let units = ["service", "timer"].map(|kind| files(&root().join("systemd"), kind)).concat();
    let mut there: Vec<String> =
        units.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    there.sort();
    assert_eq!(told, there);
}
