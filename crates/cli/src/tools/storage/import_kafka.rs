//! `storage import-kafka`: lets Dohle continue on the directories of a stopped Apache Kafka node.

use std::io::BufRead;
use std::path::PathBuf;

use anyhow::bail;

use crate::host::PlannedImport;
use crate::options::usage;
use crate::tool_run::ToolRun;

/// Its name.
pub(super) use crate::tool_run::IMPORT_KAFKA as NAME;

pub(super) fn import(run: &ToolRun<'_>, answers: &mut impl BufRead) -> anyhow::Result<()> {
    let dirs: Vec<PathBuf> = run.parsed.words.iter().map(PathBuf::from).collect();
    if dirs.is_empty() {
        usage(
            "import-kafka needs the directories of the node: all of log.dirs, and that of \
             metadata.log.dir",
        )?;
    }
    let PlannedImport {
        report,
        quorum_voters,
        write,
    } = (run.host.plan_import)(&dirs)?;
    run.print(report)?;
    let Some(write) = write else {
        return Ok(run.print("Nothing is to be done: start the node with dohle server.\n")?);
    };
    if run.parsed.has("dry-run") {
        return Ok(run.print("Nothing was written.\n")?);
    }
    if !run.parsed.has("yes") {
        run.print("Import the metadata? Type yes to go on: ")?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        if answer.trim() != "yes" {
            bail!("Nothing was changed.");
        }
    }
    write()?;
    let voters = quorum_voters.map(|voters| {
        format!(
            "Its configuration needs the controllers, on every node:\n  \
             controller.quorum.voters={voters}\n"
        )
    });
    Ok(run.print(format!(
        "The metadata are imported. When this is done on every node of the cluster, start the \
         nodes with dohle server FILE.properties, with the files that they had.\n{}",
        voters.unwrap_or_default()
    ))?)
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use super::*;
    use crate::host::Host;
    use crate::progress::Progress;

    fn planned(dirs: &[PathBuf], write: bool) -> PlannedImport {
        assert_eq!(dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        PlannedImport {
            report: "the plan\n".to_owned(),
            quorum_voters: None,
            write: write.then(|| Box::new(|| bail!("written")) as _),
        }
    }

    fn host(plan: fn(&[PathBuf]) -> anyhow::Result<PlannedImport>) -> Host {
        Host {
            server: |_| ExitCode::FAILURE,
            directories: |_, _| bail!("not asked for"),
            format: |_, _, _, _| bail!("not asked for"),
            inspect_voter: |_| bail!("not asked for"),
            recover_quorum: |_| bail!("not asked for"),
            plan_import: plan,
        }
    }

    fn outcome(host: &Host, options: &str, answer: &str) -> Result<(), String> {
        let run = ToolRun {
            parsed: super::super::TOOL
                .read(&format!("import-kafka {options}"))
                .unwrap(),
            args: Vec::new(),
            host,
            progress: Progress::on_stderr(),
        };
        import(&run, &mut answer.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_written_unless_the_answer_is_yes() {
        let host = host(|dirs| Ok(planned(dirs, true)));
        let nothing = Err("Nothing was changed.".to_owned());
        let written = Err("written".to_owned());
        assert_eq!(outcome(&host, "/a /b", "y\n"), nothing);
        assert_eq!(outcome(&host, "/a /b", ""), nothing);
        assert_eq!(outcome(&host, "/a /b", "yes\n"), written);
        assert_eq!(outcome(&host, "/a /b --yes", ""), written);
        assert_eq!(outcome(&host, "/a /b --dry-run", "yes\n"), Ok(()));
        assert_eq!(outcome(&host, "--dry-run --yes /a /b", ""), Ok(()));
    }

    #[test]
    fn a_second_run_asks_nothing() {
        let host = host(|dirs| Ok(planned(dirs, false)));
        assert_eq!(outcome(&host, "/a /b", ""), Ok(()));
    }

    #[test]
    fn the_directories_have_to_be_named() {
        let host = host(|_| bail!("planned"));
        let error = outcome(&host, "--yes", "").unwrap_err();
        assert!(error.contains("needs the directories"), "{error}");
    }
}
