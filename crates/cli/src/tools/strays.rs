//! `storage strays`: partitions on the disk that the cluster's metadata do not contain.
//!
//! Works on the directories of a node that is stopped; `list` also while it runs.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use dohle_log::directory::{LogDirectory, Stray, StrayDecision, strays};

use crate::options::usage;
use crate::tool_run::ToolRun;

/// Its name.
pub(crate) use crate::tool_run::STRAYS as NAME;

/// Runs the subcommand on a node's directories.
pub(crate) fn handle(run: &ToolRun<'_>, dirs: &[PathBuf]) -> anyhow::Result<()> {
    let mut words = run.parsed.words.iter().map(String::as_str);
    let verb = words.next().unwrap_or("list");
    let names: Vec<&str> = words.collect();
    match verb {
        "list" => Ok(run.print(list(dirs, &names)?)?),
        "adopt" => Ok(run.print(adopt(dirs, &names)?)?),
        "delete" => {
            let selected = select(dirs, &names)?;
            let ask = !run.parsed.has("yes") && !selected.is_empty();
            if ask
                && !confirmed(
                    &selected,
                    &mut std::io::stdin().lock(),
                    &mut std::io::stdout(),
                )?
            {
                bail!("nothing was deleted");
            }
            Ok(run.print(delete(&selected)?)?)
        }
        other => Ok(usage(format!(
            "strays has no command {other}: list, adopt or delete is expected"
        ))?),
    }
}

/// A log directory with the strays that were selected in it.
type Selected = Vec<(PathBuf, Vec<Stray>)>;

fn select(dirs: &[PathBuf], names: &[&str]) -> anyhow::Result<Selected> {
    let mut selected = Vec::new();
    let mut missing: Vec<&str> = names.to_vec();
    for dir in dirs {
        let mut found = match dir.is_dir() {
            true => strays(dir).with_context(|| format!("look into {}", dir.display()))?,
            false => continue,
        };
        found.retain(|stray| {
            let name = stray.topic_partition.to_string();
            missing.retain(|missing| *missing != name);
            names.is_empty() || names.contains(&name.as_str())
        });
        if !found.is_empty() {
            selected.push((dir.clone(), found));
        }
    }
    if !missing.is_empty() {
        bail!("no stray partition is named {}", missing.join(", "));
    }
    Ok(selected)
}

fn list(dirs: &[PathBuf], names: &[&str]) -> anyhow::Result<String> {
    let mut text = String::new();
    let (mut count, mut bytes) = (0, 0);
    for (dir, strays) in select(dirs, names)? {
        for stray in strays {
            let id = stray
                .topic_id
                .map_or_else(|| "unknown".to_owned(), |id| id.to_string());
            let state = if stray.in_place {
                "the broker waits for a decision"
            } else {
                "stray"
            };
            text += &format!(
                "Partition: {}\tTopicId: {id}\tBytes: {}\tState: {state}\tLogDir: {}\n",
                stray.topic_partition,
                stray.size,
                dir.display()
            );
            count += 1;
            bytes += stray.size;
        }
    }
    Ok(text + &format!("{count} stray partitions, {bytes} bytes.\n"))
}

fn adopt(dirs: &[PathBuf], names: &[&str]) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut problems = Vec::new();
    for (dir, strays) in select(dirs, names)? {
        let directory = LogDirectory::open(&dir)?;
        for stray in strays {
            match directory.adopt(&stray) {
                Ok(path) => text += &format!("Adopted {}.\n", path.display()),
                Err(error) => problems.push(error.to_string()),
            }
        }
        directory.set_stray_decision(Some(StrayDecision::Adopted))?;
    }
    if text.is_empty() && problems.is_empty() {
        return Ok("There are no stray partitions.\n".to_owned());
    }
    if !problems.is_empty() {
        bail!("{text}{}", problems.join("\n"));
    }
    Ok(text
        + "The broker uses them with its next start, if the cluster has topics with these ids; \
           otherwise they become strays again.\n")
}

/// Asks whether the strays are to be deleted.
fn confirmed(
    selected: &Selected,
    answers: &mut impl BufRead,
    questions: &mut impl Write,
) -> anyhow::Result<bool> {
    let all = selected.iter().flat_map(|(_, strays)| strays);
    let bytes: u64 = all.clone().map(|stray| stray.size).sum();
    let count = all.count();
    write!(
        questions,
        "Delete {count} stray partitions with {bytes} bytes? This cannot be undone. [y/N] "
    )?;
    questions.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn delete(selected: &Selected) -> anyhow::Result<String> {
    if selected.is_empty() {
        return Ok("There are no stray partitions.\n".to_owned());
    }
    let mut text = String::new();
    for (dir, strays) in selected {
        let directory = LogDirectory::open(dir)?;
        for stray in strays {
            directory.delete(&stray.path)?;
            text += &format!("Deleted {}.\n", stray.path.display());
        }
        if nothing_waits(dir)? {
            directory.set_stray_decision(None)?;
        }
    }
    Ok(text)
}

fn nothing_waits(dir: &Path) -> anyhow::Result<bool> {
    Ok(strays(dir)?.iter().all(|stray| !stray.in_place))
}

#[cfg(test)]
mod tests;
