//! `install-links DIR`: links of Kafka's names to this program.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::options::{Syntax, usage};
use crate::tool_run::{Failure, Tool, ToolRun, Work};
use crate::tools::TOOLS;

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "install-links",
    linked: false,
    syntax: Syntax {
        tool: "dohle install-links DIR",
        about: "Makes links named kafka-topics, kafka-topics.sh and so on to this program in DIR, \
                so that scripts written for Kafka find its tools. Links that are right already \
                stay.",
        options: &["--force: Replace files of these names that are something else."],
        ..Syntax::EMPTY
    },
    work: Work::Plain(work),
    failure: Failure::Stderr(""),
};

fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let [directory] = run.parsed.words.as_slice() else {
        return Ok(usage(
            "Give one directory, as in: dohle install-links /usr/local/bin",
        )?);
    };
    let program = std::env::current_exe().context("find this program's own path")?;
    let made = install(Path::new(directory), &program, run.parsed.has("force"))?;
    let all = names().count();
    run.print(format!(
        "{made} links made in {directory}, {} existed already.\n",
        all - made
    ))?;
    Ok(())
}

/// Both spellings of all names.
fn names() -> impl Iterator<Item = String> {
    let linked = TOOLS.iter().filter(|tool| tool.linked);
    linked.flat_map(|tool| ["", ".sh"].map(|end| format!("kafka-{}{end}", tool.name)))
}

/// Makes the links. Returns how many were missing.
fn install(directory: &Path, program: &Path, force: bool) -> anyhow::Result<usize> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("create the directory {}", directory.display()))?;
    let wanted: Vec<PathBuf> = names().map(|name| directory.join(name)).collect();
    // Nothing is changed where something is in the way.
    let mut missing = Vec::new();
    for link in wanted {
        match std::fs::symlink_metadata(&link) {
            Err(error) if error.kind() == ErrorKind::NotFound => missing.push((link, false)),
            Err(error) => return Err(error).with_context(|| format!("read {}", link.display())),
            Ok(_) if leads_to(&link, program) => {}
            Ok(found) if force && !found.is_dir() => missing.push((link, true)),
            Ok(_) => bail!(
                "{} is there and is no link to {}: give another directory, or --force to replace \
                 it",
                link.display(),
                program.display()
            ),
        }
    }
    for (link, replace) in &missing {
        if *replace {
            std::fs::remove_file(link).with_context(|| format!("remove {}", link.display()))?;
        }
        symlink(program, link).with_context(|| format!("make the link {}", link.display()))?;
    }
    Ok(missing.len())
}

/// Whether it is a link to this program, directly or through other links.
fn leads_to(link: &Path, program: &Path) -> bool {
    let target = std::fs::canonicalize(link).ok();
    target.is_some() && target == std::fs::canonicalize(program).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_made_once_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("dohle");
        std::fs::write(&program, "").unwrap();
        let bin = folder.path().join("a/bin");
        let all = names().count();
        assert_eq!(install(&bin, &program, false).unwrap(), all);
        let topics = bin.join("kafka-topics.sh");
        assert_eq!(std::fs::read_link(&topics).unwrap(), program);
        assert_eq!(install(&bin, &program, false).unwrap(), 0, "all are there");

        std::fs::remove_file(&topics).unwrap();
        std::fs::write(&topics, "#!/bin/sh").unwrap();
        std::fs::remove_file(bin.join("kafka-topics")).unwrap();
        let error = install(&bin, &program, false).unwrap_err().to_string();
        assert!(
            error.contains("kafka-topics.sh is there and is no link to"),
            "{error}"
        );
        assert!(!bin.join("kafka-topics").exists(), "nothing was changed");
        assert_eq!(install(&bin, &program, true).unwrap(), 2);
        assert_eq!(std::fs::read_link(&topics).unwrap(), program);
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = install(&file, &file, false).unwrap_err();
        assert!(
            format!("{error:#}").contains("create the directory"),
            "{error:#}"
        );
    }
}
