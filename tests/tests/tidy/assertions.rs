//! Counts the assertions that stay enabled in release builds, so that they do not disappear
//! unnoticed.

use std::collections::{BTreeMap, BTreeSet};

/// The least assertions of each crate outside its tests. A crate that asserts more raises its
/// floor; one that has good reason to assert less lowers it.
const FLOORS: &[(&str, usize)] = &[
    ("api", 5),
    ("broker", 65),
    ("controller", 55),
    ("coordinator", 10),
    ("groups", 55),
    ("log", 50),
    ("machine", 5),
    ("network", 20),
    ("transactions", 20),
];

/// The least assertions of all crates.
const ALL: usize = 300;

const ASSERTIONS: &[&str] = &["assert!(", "assert_eq!(", "assert_ne!("];

/// Compares the assertions of each crate with its floor. `files` has the code by path, without
/// files that are tests by their name.
pub fn complaints(files: &BTreeMap<&str, &str>) -> Vec<String> {
    let tests = test_modules(files);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, text) in files.iter().filter(|(path, _)| !tests.contains(**path)) {
        let name = path.strip_prefix("crates/").and_then(|rest| {
            let (name, inside) = rest.split_once('/')?;
            inside.starts_with("src/").then_some(name)
        });
        if let Some(name) = name {
            *counts.entry(name).or_default() += count(text);
        }
    }
    let all: usize = counts.values().sum();
    let mut complaints: Vec<String> = FLOORS
        .iter()
        .map(|(name, floor)| (name, floor, counts.get(name).copied().unwrap_or_default()))
        .filter(|(_, floor, count)| count < floor)
        .map(|(name, floor, count)| format!("crates/{name} has {count} assertions, not {floor}"))
        .collect();
    if all < ALL {
        complaints.push(format!("all crates have {all} assertions, not {ALL}"));
    }
    complaints
}

/// The files of modules that exist in tests only.
fn test_modules(files: &BTreeMap<&str, &str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in files {
        let stem = path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => stem,
        };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line != "#[cfg(test)]" {
                continue;
            }
            let module = lines.next().and_then(|next| {
                let next = next.trim_start_matches("pub(crate) ");
                next.strip_prefix("mod ")?.strip_suffix(';')
            });
            if let Some(module) = module {
                found.insert(format!("{folder}/{module}.rs"));
                found.insert(format!("{folder}/{module}/mod.rs"));
            }
        }
    }
    found
}

/// Counts the assertions of a file outside comments and items that exist in tests only.
fn count(text: &str) -> usize {
    let mut lines = text.lines();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // The item ends at its semicolon, or with its closing brace.
            let ends =
                |line: &&str| *line == "}" || (!line.starts_with(' ') && line.ends_with(';'));
            let _ = lines.by_ref().find(ends);
        } else if !line.trim_start().starts_with("//") {
            let asserts = |name: &&&str| {
                let at = line.find(**name);
                at.is_some_and(|at| !line[..at].ends_with("debug_"))
            };
            count += ASSERTIONS.iter().filter(asserts).count();
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_of_tests_comments_and_debug_builds_do_not_count() {
        let text = "
#[cfg(test)]
use std::sync::Arc;

fn f() {
    assert!(true);
    // assert!(true);
    debug_assert!(true);
    assert_eq!(1, 1);
}

#[cfg(test)]
impl F {
    fn check() {
        assert!(true);
    }
}

fn g() {
    assert_ne!(1, 2);
}

#[cfg(test)]
mod tests {
    #[test]
    fn t() {
        assert!(true);
    }
}
";
        assert_eq!(count(text), 3);
    }

    #[test]
    fn a_crate_below_its_floor_is_named_and_test_modules_do_not_help() {
        let files = [
            (
                "crates/api/src/lib.rs",
                "#[cfg(test)]\nmod helper;\nfn f() {\n    assert!(a);\n}\n",
            ),
            ("crates/api/src/helper.rs", "fn g() {\n    assert!(a);\n}\n"),
        ];
        let found = complaints(&files.into());
        assert!(
            found.contains(&"crates/api has 1 assertions, not 5".to_owned()),
            "{found:?}"
        );
        assert!(found.contains(&"all crates have 1 assertions, not 300".to_owned()));
    }
}
