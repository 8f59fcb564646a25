//! The page about migrating has the table of differences.

use std::path::Path;

use crate::differences::markdown;

const BEGIN: &str = "<!-- from exporter/tests/drop_in/differences.rs; UPDATE=1 rewrites it -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_table_of_differences_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let current = format!("\n{}\n", markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{current}{END}{after}")).unwrap();
        return;
    }
    assert!(
        table == current,
        "{} is not current; UPDATE=1 rewrites it",
        path.display()
    );
}
