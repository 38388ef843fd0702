//! What is printed, and what is refused.

use std::path::PathBuf;
use std::process::ExitCode;

use dohle_model::NodeId;

use super::*;
use crate::host::Host;
use crate::progress::Progress;

fn state() -> VoterState {
    VoterState {
        node_id: NodeId(3),
        dir: PathBuf::from("/data/__cluster_metadata-0"),
        voters: 3,
        last: Some((4, 120)),
        voted_term: 5,
        committed: Some(118),
    }
}

#[test]
fn what_may_be_lost_is_printed() {
    let text = describe(&state()).unwrap();
    for expected in [
        "last entry:     term 4, offset 120",
        "committed:      at least up to offset 118",
        "last voted in:  term 5",
        "Entries after offset 120 that only the other 2 controllers held are lost",
        "move its __cluster_metadata-0 away",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_voter_with_imported_metadata_names_the_whole_directory_of_the_others() {
    let imported = VoterState {
        dir: PathBuf::from("/data/__cluster_metadata-0/dohle"),
        ..state()
    };
    let text = describe(&imported).unwrap();
    assert!(text.contains("Metadata of node 3 in /data/__cluster_metadata-0/dohle:"));
    assert!(
        text.contains("move its __cluster_metadata-0 away"),
        "{text}"
    );
}

#[test]
fn a_voter_without_metadata_and_one_that_is_alone_are_refused() {
    let empty = VoterState {
        last: None,
        ..state()
    };
    assert!(
        describe(&empty)
            .unwrap_err()
            .to_string()
            .contains("holds no metadata")
    );
    let alone = VoterState {
        voters: 1,
        ..state()
    };
    assert!(
        describe(&alone)
            .unwrap_err()
            .to_string()
            .contains("only controller")
    );
}

#[test]
fn nothing_is_changed_unless_the_answer_is_yes() {
    let host = Host {
        server: |_| ExitCode::FAILURE,
        directories: |_, _| bail!("not asked for"),
        format: |_, _, _, _| bail!("not asked for"),
        inspect_voter: |_| Ok(state()),
        recover_quorum: |_| bail!("recovered"),
        plan_import: |_| bail!("not asked for"),
    };
    let outcome = |options: &str, answer: &str| {
        let line = format!("recover-quorum -c server.properties {options}");
        let run = ToolRun {
            parsed: super::super::TOOL.read(&line).unwrap(),
            args: Vec::new(),
            host: &host,
            progress: Progress::on_stderr(),
        };
        let result = recover(&run, &mut answer.as_bytes());
        result.unwrap_err().to_string()
    };
    for answer in ["y\n", ""] {
        assert_eq!(outcome("", answer), "Nothing was changed.", "{answer:?}");
    }
    assert_eq!(outcome("", "yes\n"), "recovered");
    assert_eq!(outcome("--yes", ""), "recovered");
}
