//! Files that Apache Kafka 4.3.1 wrote, and what its own tool says of them.

use std::fs;
use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;
use crate::options::ParsedCommand;

mod terminal;

const LOG: &str = "00000000000000000000.log";

/// Three records: headers and key, null key, null value.
const THREE_RECORDS: &str = "\
    0000000000000000000000660000000002f17ab395000000000002000001a1fca1f57c000001a1fca1f58700 \
    000000000000040000000000000000000334000000046b310c76616c75653104046831047631046832047632 \
    20001602010c76616c756532020468310110001604046b330100";
/// The marker of a transaction that was committed.
const MARKER: &str = "\
    0000000000004174000000420000000002617f5368003000000000000001a1fca38c55000001a1fca38c5500 \
    000000000000090001ffffffff000000012000000008000000010c00000000000000";
/// Two producers.
const SNAPSHOT: &str = "\
    0001683ba85a00000002000000000000000700000000012b000000000000012b0000012b000001a1fca354e9 \
    ffffffffffffffffffffffff0000000000000008000000003f21000000000000404d0000003b000001a1fca3 \
    70c0ffffffffffffffffffffffff";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// What is shown of a file, and whether all is well.
fn shown(folder: &tempfile::TempDir, name: &str, options: &str) -> (String, bool) {
    let file = folder.path().join(name);
    let mut words: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
    words.extend(["--files".to_owned(), file.display().to_string()]);
    let Ok(ParsedCommand::Work(parsed)) = TOOL.syntax.parse(&words) else {
        panic!("{options}");
    };
    let json = parsed.has("output");
    let output = if json { Output::Json } else { Output::Text };
    let settings = DumpSettings::read(&parsed, output).unwrap();
    let mut dump = Dump::new(&settings, Vec::new(), Progress::default());
    dump.file(&PathBuf::from(&file)).unwrap();
    let text = String::from_utf8(dump.out).unwrap() + &dump.findings.text();
    let root = folder.path().display().to_string();
    (text.replace(&root, "DIR"), !dump.findings.broken())
}

fn check(files: &[(&str, Vec<u8>)], name: &str, options: &str, expected: Expect) {
    let (text, well) = shown(&folder(files), name, options);
    expected.assert_eq(&text);
    assert!(well);
}

#[test]
fn a_segment_is_shown_as_kafka_shows_it() {
    let files = [(LOG, bytes(THREE_RECORDS))];
    check(
        &files,
        LOG,
        "",
        expect![[r#"
        Dumping DIR/00000000000000000000.log
        Log starting offset: 0
        baseOffset: 0 lastOffset: 2 count: 3 baseSequence: 0 lastSequence: 2 producerId: 4 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1795239835015 size: 114 magic: 2 compresscodec: none crc: 4051350421 isvalid: true
    "#]],
    );
    check(
        &files,
        LOG,
        "--deep-iteration",
        expect![[r#"
        Dumping DIR/00000000000000000000.log
        Log starting offset: 0
        baseOffset: 0 lastOffset: 2 count: 3 baseSequence: 0 lastSequence: 2 producerId: 4 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1795239835015 size: 114 magic: 2 compresscodec: none crc: 4051350421 isvalid: true
        | offset: 0 CreateTime: 1795239835004 keySize: 2 valueSize: 6 sequence: 0 headerKeys: [h1,h2]
        | offset: 1 CreateTime: 1795239835015 keySize: -1 valueSize: 6 sequence: 1 headerKeys: [h1]
        | offset: 2 CreateTime: 1795239835015 keySize: 2 valueSize: -1 sequence: 2 headerKeys: []
    "#]],
    );
    check(
        &files,
        LOG,
        "--print-data-log",
        expect![[r#"
        Dumping DIR/00000000000000000000.log
        Log starting offset: 0
        baseOffset: 0 lastOffset: 2 count: 3 baseSequence: 0 lastSequence: 2 producerId: 4 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1795239835015 size: 114 magic: 2 compresscodec: none crc: 4051350421 isvalid: true
        | offset: 0 CreateTime: 1795239835004 keySize: 2 valueSize: 6 sequence: 0 headerKeys: [h1,h2] key: k1 payload: value1
        | offset: 1 CreateTime: 1795239835015 keySize: -1 valueSize: 6 sequence: 1 headerKeys: [h1] payload: value2
        | offset: 2 CreateTime: 1795239835015 keySize: 2 valueSize: -1 sequence: 2 headerKeys: [] key: k3
    "#]],
    );
    check(
        &files,
        LOG,
        "--print-data-log --skip-record-metadata",
        expect![[r#"
            Dumping DIR/00000000000000000000.log
            Log starting offset: 0
            baseOffset: 0 lastOffset: 2 count: 3 baseSequence: 0 lastSequence: 2 producerId: 4 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1795239835015 size: 114 magic: 2 compresscodec: none crc: 4051350421 isvalid: true
            | key: k1 payload: value1
            | payload: value2
            | key: k3
        "#]],
    );
}

#[test]
fn a_marker_of_a_transaction_says_how_it_ended() {
    let files = [(LOG, bytes(MARKER))];
    check(
        &files,
        LOG,
        "--print-data-log",
        expect![[r#"
        Dumping DIR/00000000000000000000.log
        Log starting offset: 0
        baseOffset: 16756 lastOffset: 16756 count: 1 baseSequence: -1 lastSequence: -1 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1795239939157 size: 78 magic: 2 compresscodec: none crc: 1635734376 isvalid: true
        | offset: 16756 CreateTime: 1795239939157 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] endTxnMarker: COMMIT coordinatorEpoch: 0
    "#]],
    );
    check(
        &files,
        LOG,
        "--print-data-log --skip-record-metadata",
        expect![[r#"
            Dumping DIR/00000000000000000000.log
            Log starting offset: 0
            baseOffset: 16756 lastOffset: 16756 count: 1 baseSequence: -1 lastSequence: -1 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1795239939157 size: 78 magic: 2 compresscodec: none crc: 1635734376 isvalid: true

        "#]],
    );
}

#[test]
fn a_producer_snapshot_is_shown_in_the_files_order() {
    let name = "00000000000000016962.snapshot";
    check(
        &[(name, bytes(SNAPSHOT))],
        name,
        "",
        expect![[r#"
        Dumping DIR/00000000000000016962.snapshot
        producerId: 7 producerEpoch: 0 coordinatorEpoch: -1 currentTxnFirstOffset: OptionalLong.empty lastTimestamp: 1795239924969 firstSequence: 0 lastSequence: 299 lastOffset: 299 offsetDelta: 299 timestamp: 1795239924969
        producerId: 8 producerEpoch: 0 coordinatorEpoch: -1 currentTxnFirstOffset: OptionalLong.empty lastTimestamp: 1795239932096 firstSequence: 16102 lastSequence: 16161 lastOffset: 16461 offsetDelta: 59 timestamp: 1795239932096
    "#]],
    );
}

#[test]
fn json_is_a_line_a_batch() {
    let files = [(LOG, bytes(THREE_RECORDS))];
    check(
        &files,
        LOG,
        "--print-data-log --output json",
        expect![[r#"
        {"file":"DIR/00000000000000000000.log","baseOffset":0,"lastOffset":2,"count":3,"baseSequence":0,"lastSequence":2,"producerId":4,"producerEpoch":0,"partitionLeaderEpoch":0,"isTransactional":false,"isControl":false,"deleteHorizonMs":null,"position":0,"timestampType":"CreateTime","timestamp":1795239835015,"size":114,"magic":2,"compressionType":"none","crc":4051350421,"isValid":true,"records":[{"offset":0,"timestamp":1795239835004,"keySize":2,"valueSize":6,"sequence":0,"headerKeys":["h1","h2"],"key":"k1","payload":"value1"},{"offset":1,"timestamp":1795239835015,"keySize":-1,"valueSize":6,"sequence":1,"headerKeys":["h1"],"key":null,"payload":"value2"},{"offset":2,"timestamp":1795239835015,"keySize":2,"valueSize":-1,"sequence":2,"headerKeys":[],"key":"k3","payload":null}]}
    "#]],
    );
}

#[test]
fn a_torn_tail_is_told_and_what_is_before_it_is_shown() {
    let mut torn = bytes(THREE_RECORDS);
    torn.extend_from_slice(&bytes(MARKER)[..40]);
    let (text, well) = shown(&folder(&[(LOG, torn.clone())]), LOG, "");
    assert!(text.contains("baseOffset: 0 lastOffset: 2"), "{text}");
    let end = "Found 40 invalid bytes at the end of 00000000000000000000.log\n";
    assert!(text.ends_with(end), "{text}");
    assert!(!well);
    // A limit may end in the middle of a batch.
    let (text, well) = shown(&folder(&[(LOG, torn)]), LOG, "--max-bytes 150");
    assert!(!text.contains("invalid"), "{text}");
    assert!(well);
}

#[test]
fn a_batch_that_was_damaged_is_told_and_those_behind_it_are_shown() {
    let mut damaged = bytes(THREE_RECORDS);
    damaged[100] ^= 0xff;
    damaged.extend(bytes(MARKER));
    let (text, well) = shown(&folder(&[(LOG, damaged)]), LOG, "--deep-iteration");
    assert!(text.contains("crc: 4051350421 isvalid: false"), "{text}");
    assert!(text.contains("endTxnMarker: COMMIT"), "{text}");
    assert!(!well);
    let zeros = [bytes(THREE_RECORDS), vec![0; 100]].concat();
    let (text, well) = shown(&folder(&[(LOG, zeros)]), LOG, "");
    assert!(text.contains("isvalid: true"), "{text}");
    assert!(!well);
}

#[test]
fn an_index_is_held_against_its_segment() {
    let good: Vec<u8> = [2_u32, 0].into_iter().flat_map(u32::to_be_bytes).collect();
    let bad: Vec<u8> = [5_u32, 0].into_iter().flat_map(u32::to_be_bytes).collect();
    let index = "00000000000000000000.index";
    let log = || (LOG, bytes(THREE_RECORDS));
    check(
        &[log(), (index, good.clone())],
        index,
        "",
        expect![[r#"
        Dumping DIR/00000000000000000000.index
        offset: 2 position: 0
    "#]],
    );
    check(
        &[log(), (index, good.clone())],
        index,
        "--index-sanity-check",
        expect![[r#"
            Dumping DIR/00000000000000000000.index
            DIR/00000000000000000000.index passed sanity check.
        "#]],
    );
    check(
        &[log(), (index, good)],
        index,
        "--verify-index-only",
        expect![[r#"
            Dumping DIR/00000000000000000000.index
        "#]],
    );
    check(
        &[log(), (index, Vec::new())],
        index,
        "",
        expect![[r#"
        Dumping DIR/00000000000000000000.index
        DIR/00000000000000000000.index is empty.
    "#]],
    );
    let (text, well) = shown(&folder(&[log(), (index, bad)]), index, "");
    expect![[r#"
        Dumping DIR/00000000000000000000.index
        offset: 5 position: 0
        Mismatches in :DIR/00000000000000000000.index
          Index offset: 5, log offset: 2
    "#]]
    .assert_eq(&text);
    assert!(!well);
    let (text, well) = shown(
        &folder(&[log(), (index, vec![0; 9])]),
        index,
        "--index-sanity-check",
    );
    assert!(!text.contains("passed"), "{text}");
    assert!(!well);
}

#[test]
fn a_time_index_is_held_against_the_records() {
    let entry = |timestamp: i64, offset: u32| {
        [
            timestamp.to_be_bytes().to_vec(),
            offset.to_be_bytes().to_vec(),
        ]
        .concat()
    };
    let index = "00000000000000000000.timeindex";
    let log = || (LOG, bytes(THREE_RECORDS));
    let good = entry(1_795_239_835_015, 2);
    check(
        &[log(), (index, good.clone())],
        index,
        "",
        expect![[r#"
        Dumping DIR/00000000000000000000.timeindex
        timestamp: 1795239835015 offset: 2
    "#]],
    );
    let bad = [good, entry(1_795_239_835_015, 9)].concat();
    let (text, well) = shown(&folder(&[log(), (index, bad)]), index, "");
    expect![[r#"
        Dumping DIR/00000000000000000000.timeindex
        timestamp: 1795239835015 offset: 2
        timestamp: 1795239835015 offset: 9
        The following indexed offsets are not found in :DIR/00000000000000000000.timeindex
        Indexed offset: 9, found log offset: -1
    "#]]
    .assert_eq(&text);
    assert!(!well);
    let early = entry(7, 2);
    let (text, well) = shown(&folder(&[log(), (index, early)]), index, "");
    expect![[r#"
        Dumping DIR/00000000000000000000.timeindex
        timestamp: 7 offset: 2
        Found timestamp mismatch in :DIR/00000000000000000000.timeindex
          Index timestamp: 7, log timestamp: 1795239835015
    "#]]
    .assert_eq(&text);
    assert!(!well);
}

#[test]
fn what_is_no_file_of_a_log_is_passed_over_and_what_is_not_there_is_told() {
    let files = [("leader-epoch-checkpoint", b"0\n0\n".to_vec())];
    check(
        &files,
        "leader-epoch-checkpoint",
        "",
        expect![[r#"
        Dumping DIR/leader-epoch-checkpoint
    "#]],
    );
    let (_, well) = shown(&folder(&[]), LOG, "");
    assert!(!well);
    let (_, well) = shown(&folder(&[("x.log", Vec::new())]), "x.log", "");
    assert!(!well);
}

#[test]
fn a_log_with_any_byte_changed_is_shown_without_a_panic() {
    let mut bytes = bytes(THREE_RECORDS);
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            bytes[at] ^= change;
            let options = "--print-data-log --offsets-decoder";
            shown(&folder(&[(LOG, bytes.clone())]), LOG, options);
            bytes[at] ^= change;
        }
    }
}
