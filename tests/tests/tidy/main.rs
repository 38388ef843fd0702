//! The tidy test, which checks the structure of the code where a compiler does not.
//!
//! `modules` finds cycles between modules, and `tokens` reads the code for that. `assertions`
//! counts the assertions of release builds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

mod assertions;
mod modules;
mod tokens;

use modules::Modules;

const LINES_MAX: usize = 800;
const WIDTH_MAX: usize = 100;

/// Code that must be pure: no runtime, no files, no clock, no randomness. So must each file whose
/// first lines call it `Pure`.
const PURE: &[&str] = &[
    "crates/auth/src",
    "crates/config/src",
    "crates/model/src",
    "crates/protocol/src",
    "crates/telemetry/src",
    "crates/controller/src/plan",
    "crates/controller/src/heartbeats",
    "crates/controller/src/raft/admission",
    "crates/coordinator/src/routing",
    "crates/cli/src/options",
    "crates/cli/src/ordered_json",
    "crates/rpc/src/convert",
    "crates/broker/src/replica",
    "crates/machine/src",
    "crates/groups/src",
    "crates/transactions/src",
    "crates/kafka-metadata/src",
    "crates/log/src/batch",
    "crates/log/src/clean/filter",
    "crates/log/src/leader_epoch",
    "crates/log/src/validate",
    "crates/log/src/producer_state",
];

/// Names that pure code must not contain.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::net::Tcp",
    "std::net::ToSocketAddrs",
    "std::net::Udp",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "rand::",
    "new_v4",
    "std::process",
    "std::env::",
];

/// Code that reaches files, the clock and randomness through the traits of `storage` alone.
const THROUGH_TRAITS: &[&str] = &[
    "crates/log/src/",
    "crates/controller/src/raft/files.rs",
    "crates/controller/src/raft/store/",
];

/// Exceptions: sled opens its files itself, and nothing depends on them; the others are tests.
const REACH_THE_SYSTEM: &[&str] = &[
    "crates/controller/src/raft/store/copy.rs",
    "crates/controller/src/raft/store/power_loss.rs",
    "crates/controller/src/raft/store/simulated_disks.rs",
];

/// Names that such code must not contain.
const DIRECT: &[&str] = &[
    "std::fs",
    "rustix::fs",
    "rustix::io::p",
    "libc::",
    ".exists()",
    ".try_exists()",
    ".is_dir()",
    ".is_file()",
    ".read_dir()",
    "Instant::now",
    "SystemTime::now",
    "thread::sleep",
    "RandomState",
    "rand::",
];

/// Our crates by floor, from the ground. A crate may depend on those of the floors below its own.
const FLOORS: &[&[&str]] = &[
    &["model", "protocol", "storage", "telemetry"],
    &["config", "auth"],
    &["tls"],
    &["log", "rpc", "machine", "kafka-metadata"],
    &["groups", "transactions"],
    &["network", "broker", "controller", "admin", "load"],
    &["coordinator"],
    &["api"],
    &["cli", "web"],
    &["dohle"],
];

/// Crates that we maintain for others, which depend on none of ours.
const APART: &[&str] = &["base2histogram"];

fn root() -> PathBuf {
    dohle_tests::root()
}

/// Returns every text file of the checkout, by its path.
fn texts() -> &'static BTreeMap<String, String> {
    static TEXTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let mut found = BTreeMap::new();
        walk(&root(), &mut found);
        assert!(found.len() > 20, "few files found: {:?}", found.keys());
        found
    });
    &TEXTS
}

fn walk(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let skipped = name.starts_with("target") || name == "node_modules" || name == ".git";
        // Code of others is not ours to arrange.
        if skipped || (directory == root() && (name == "data" || name == "vendor")) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let relative = path
                .strip_prefix(root())
                .expect("in the checkout")
                .display()
                .to_string();
            found.insert(relative, text);
        }
    }
}

fn rust() -> impl Iterator<Item = (&'static str, &'static str)> {
    let texts = texts().iter();
    let texts = texts.map(|(path, text)| (path.as_str(), text.as_str()));
    texts.filter(|(path, _)| path.ends_with(".rs"))
}

/// Returns the code of a file, without comments and without the tests at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn check(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// Returns whether the documentation of a file has a sentence that begins with `Pure`.
fn calls_itself_pure(text: &str) -> bool {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    let sentences = lines.flat_map(|line| line.trim_start_matches("//!").split(". "));
    sentences
        .map(str::trim)
        .any(|sentence| sentence == "Pure." || sentence.starts_with("Pure:") || sentence == "Pure")
}

#[test]
fn pure_code_has_no_runtime_files_clock_or_randomness() {
    let mut complaints = Vec::new();
    let mut unused: BTreeSet<&str> = PURE.iter().copied().collect();
    for (path, text) in rust() {
        let pure = PURE.iter().find(|pure| {
            path.strip_prefix(**pure)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if let Some(pure) = pure {
            unused.remove(pure);
        }
        if is_test(path) || !(pure.is_some() || calls_itself_pure(text)) {
            continue;
        }
        for (number, line) in code(text) {
            for impure in IMPURE.iter().filter(|impure| line.contains(**impure)) {
                complaints.push(format!("{path}:{}: {impure} in pure code", number + 1));
            }
        }
    }
    complaints.extend(
        unused
            .iter()
            .map(|entry| format!("PURE: no file is {entry}")),
    );
    check(complaints);
}

#[test]
fn the_log_and_the_raft_store_reach_the_system_through_traits() {
    let mut complaints = Vec::new();
    for (path, text) in rust() {
        let affected = THROUGH_TRAITS.iter().any(|it| path.starts_with(it));
        if is_test(path) || !affected || REACH_THE_SYSTEM.contains(&path) {
            continue;
        }
        for (number, line) in code(text) {
            for direct in DIRECT.iter().filter(|direct| line.contains(**direct)) {
                complaints.push(format!("{path}:{}: {direct}", number + 1));
            }
        }
    }
    check(complaints);
}

/// Returns the crates of this workspace that a manifest depends on.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut used = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let dependency = line
            .strip_prefix("dohle-")
            .filter(|_| section != "[package]");
        let name = dependency.and_then(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '-')
                .next()
        });
        used.extend(name.map(str::to_owned));
    }
    used
}

#[test]
fn a_crate_depends_on_lower_floors_only() {
    let mut complaints = Vec::new();
    let floor = |name: &str| FLOORS.iter().position(|crates| crates.contains(&name));
    let crates = crates();
    let listed = FLOORS.iter().copied().flatten().chain(APART);
    let gone = listed.filter(|name| !crates.iter().any(|it| it == *name));
    complaints.extend(gone.map(|name| format!("there is no crates/{name}")));
    for name in &crates {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("a manifest");
        let used = dependencies(&manifest);
        if APART.contains(&name.as_str()) {
            assert!(used.is_empty(), "crates/{name} depends on {used:?}");
            continue;
        }
        let Some(own) = floor(name) else {
            complaints.push(format!("crates/{name} has no floor"));
            continue;
        };
        for used in used.iter().filter(|used| *used != name) {
            if floor(used).is_none_or(|used| used >= own) {
                complaints.push(format!("crates/{name} must not depend on {used}"));
            }
        }
    }
    check(complaints);
}

#[test]
fn every_key_of_a_property_is_read_somewhere() {
    let keys = "crates/config/src/keys.rs";
    let texts = texts();
    let mut complaints = Vec::new();
    for line in texts[keys].lines() {
        let Some((name, _)) = line.trim().split_once(": ") else {
            continue;
        };
        let is_key = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(is_key) {
            continue;
        }
        let used = format!("keys::{name}");
        let reads = |text: &String| {
            text.match_indices(&used).any(|(at, _)| {
                let rest = &text[at + used.len()..];
                !rest.starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric())
            })
        };
        if !texts.iter().any(|(path, text)| path != keys && reads(text)) {
            complaints.push(format!("{keys}: nothing reads {name}"));
        }
    }
    check(complaints);
}

#[test]
fn files_and_lines_have_a_readable_size() {
    let mut complaints = Vec::new();
    for (path, text) in rust() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{path}: {lines} lines, at most {LINES_MAX}"));
        }
        let mut in_string = false;
        for (number, line) in text.lines().enumerate() {
            // The expected text of a test may have any width.
            in_string = (in_string || line.contains("r#\"")) && !line.contains("\"#");
            if line.chars().count() > WIDTH_MAX && !in_string {
                complaints.push(format!("{path}:{}: wider than {WIDTH_MAX}", number + 1));
            }
        }
    }
    check(complaints);
}

#[test]
fn every_file_says_what_it_is() {
    let silent = rust().filter(|(_, text)| !text.lines().take(3).any(|l| l.starts_with("//!")));
    check(
        silent
            .map(|(path, _)| format!("{path}: begins without `//!`"))
            .collect(),
    );
}

/// The paths in docs/ARCHITECTURE.md name files, and functions or constants in them, that exist.
#[test]
fn the_paths_of_the_architecture_exist() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the document");
    let (_, paths) = text
        .split_once("## Five paths to read")
        .expect("the section");
    let mut complaints = Vec::new();
    let mut steps = 0;
    for line in paths.lines() {
        if !line.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        steps += 1;
        let quoted: Vec<&str> = line.split('`').collect();
        let [_, file, " ", item, ..] = quoted[..] else {
            complaints.push(format!("{line}: a step names a file and a function"));
            continue;
        };
        match std::fs::read_to_string(root().join("crates").join(file)) {
            Err(_) => complaints.push(format!("{file} does not exist")),
            Ok(code) if !defines(&code, item) => {
                complaints.push(format!("{file} defines no {item}"));
            }
            Ok(_) => {}
        }
    }
    assert!(steps > 50, "only {steps} steps were found");
    check(complaints);
}

/// Whether code has a function or constant with this name, or a key of a property.
fn defines(code: &str, item: &str) -> bool {
    code.lines().any(|line| {
        let at = line.match_indices(item).map(|(at, _)| at);
        at.into_iter().any(|at| {
            let before = line[..at].trim_end();
            let after = line[at + item.len()..].chars().next();
            let is_whole = after.is_some_and(|after| !after.is_alphanumeric() && after != '_');
            let keyword = before.rsplit(' ').next().unwrap_or_default();
            let is_key = before.is_empty() && after == Some(':');
            is_whole && (matches!(keyword, "fn" | "const" | "static") || is_key)
        })
    })
}

/// Every file that docs/ARCHITECTURE.md mentions by a path exists in some crate.
#[test]
fn the_files_that_the_architecture_mentions_exist() {
    let texts = texts();
    let mentions = texts["docs/ARCHITECTURE.md"].split('`').skip(1).step_by(2);
    let mut files: Vec<&str> = mentions.filter(|it| it.ends_with(".rs")).collect();
    files.sort_unstable();
    files.dedup();
    assert!(files.len() > 80, "only {} files were found", files.len());
    let is_at_the_end_of = |path: &str, file: &str| {
        let rest = path.strip_suffix(file);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    // `log/close.rs` may be short for `log/src/close.rs`.
    let exists = |file: &str| {
        let long = file.replacen('/', "/src/", 1);
        texts
            .keys()
            .any(|path| is_at_the_end_of(path, file) || is_at_the_end_of(path, &long))
    };
    let gone = files.iter().filter(|file| !exists(file));
    check(gone.map(|file| format!("{file} does not exist")).collect());
}

/// The tests that docs/durability.md lists beside the faults they hold.
#[test]
fn the_tests_that_hold_the_faults_exist() {
    let texts = texts();
    let (_, faults) = texts["docs/durability.md"]
        .split_once("## Faults that were found")
        .expect("the section");
    let tests = faults.split('`').skip(1).step_by(2);
    let tests: Vec<&str> = tests.filter(|name| name.matches('_').count() > 3).collect();
    assert!(tests.len() > 10, "only {} tests were found", tests.len());
    let code: Vec<&str> = rust().map(|(_, text)| text).collect();
    let exists = |test: &str| code.iter().any(|text| defines(text, test));
    let gone = tests.iter().filter(|test| !exists(test));
    check(gone.map(|test| format!("{test} does not exist")).collect());
}

/// A file without a `mod` that names it belongs to no program: it is not compiled, and its tests
/// never run.
#[test]
fn every_file_is_part_of_a_program() {
    let files: BTreeMap<&str, &str> = rust().collect();
    let lines = files.values().flat_map(|text| text.lines());
    let named: BTreeSet<&str> = lines
        .filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"))
        .filter_map(|path| path.rsplit('/').next())
        .collect();
    let mut complaints = Vec::new();
    for path in files.keys().filter(|path| !path.starts_with("docs/")) {
        let (folder, name) = path.rsplit_once('/').expect("a folder");
        let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        // `src/lib.rs` and the like, and each file of a crate's `tests`, are programs of their own.
        let is_root = matches!(name, "lib.rs" | "main.rs" | "build.rs")
            || (folder.ends_with("/tests") && !folder.contains("/src"))
            || folder.ends_with("/examples")
            || folder.ends_with("/bin");
        let (module, declared_in) = match name.strip_suffix(".rs").expect("a Rust file") {
            "mod" => (&folder[folder.rfind('/').map_or(0, |at| at + 1)..], parent),
            module => (module, folder),
        };
        let declaration = format!("mod {module};");
        let declared = files.iter().any(|(other, text)| {
            let of_folder = other.strip_prefix(declared_in).is_some_and(|rest| {
                rest == ".rs"
                    || rest
                        .strip_prefix('/')
                        .is_some_and(|rest| !rest.contains('/'))
            });
            of_folder && text.contains(&declaration)
        });
        if !is_root && !declared && !named.contains(name) {
            complaints.push(format!(
                "{path}: no `{declaration}` makes it part of a program"
            ));
        }
    }
    check(complaints);
}

#[test]
fn nothing_is_left_undone_ignored_or_slept_through() {
    // In two parts, so that the test does not find its own list.
    let never = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[ig", "nore"),
    ];
    let not_in_tests = [concat!("thread::sl", "eep("), concat!("time::sl", "eep(")];
    let mut complaints = Vec::new();
    for (path, text) in rust() {
        let tests_from = if is_test(path) || path.starts_with("tests/") {
            0
        } else {
            let start = text
                .lines()
                .position(|line| line.starts_with("#[cfg(test)]"));
            start.unwrap_or(usize::MAX)
        };
        for (number, line) in text.lines().enumerate() {
            let sleeps =
                number >= tests_from && not_in_tests.iter().any(|word| line.contains(word));
            if sleeps || never.iter().any(|word| line.contains(word)) {
                complaints.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    check(complaints);
}

#[test]
fn no_file_names_a_machine_or_a_registry_host() {
    let forbidden = [
        concat!("/wo", "rk/"),
        concat!("proxy.golang", ".org"),
        concat!("registry.npmjs", ".org"),
        concat!("repo1.maven", ".org"),
        concat!("repo.maven.apache", ".org"),
        concat!("static.crates", ".io"),
        concat!("index.crates", ".io"),
    ];
    let mut complaints = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            for word in forbidden.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{path}:{}: mentions {word}", number + 1));
            }
        }
    }
    check(complaints);
}

#[test]
fn the_programs_in_the_readme_are_the_files_that_tests_run() {
    let texts = texts();
    let readme = &texts["README.md"];
    let programs = texts
        .iter()
        .filter(|(path, _)| path.starts_with("docs/quickstart/"));
    let complaints: Vec<String> = programs
        .clone()
        .filter(|(_, text)| !readme.contains(text.trim_end()))
        .map(|(path, _)| format!("{path} does not stand in README.md as it is"))
        .collect();
    assert_eq!(programs.count(), 5);
    check(complaints);
}

fn crates() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("crates")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn no_two_modules_use_each_other_but_a_parent_and_its_child() {
    let texts = texts();
    let mut complaints = Vec::new();
    for name in crates() {
        let source = format!("crates/{name}/src/");
        let files = texts.iter().filter_map(|(path, text)| {
            let inside = path.strip_prefix(&source)?;
            let wanted = inside.ends_with(".rs") && !is_test(path);
            wanted.then_some((inside, text.as_str()))
        });
        let cycles = Modules::of(files).cycles();
        for cycle in cycles {
            let members: Vec<_> = cycle.members.iter().map(String::as_str).collect();
            complaints.push(format!(
                "{source}{}: these use each other: {}",
                cycle.parent.join("/"),
                members.join(", ")
            ));
            let uses = cycle.uses.iter();
            complaints.extend(uses.map(|(from, to)| format!("    {from} uses {to}")));
        }
    }
    check(complaints);
}

#[test]
fn the_assertions_of_release_builds_do_not_become_fewer() {
    let files = rust().filter(|(path, _)| !is_test(path)).collect();
    check(assertions::complaints(&files));
}
