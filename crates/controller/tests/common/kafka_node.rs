//! The files of a stopped Apache Kafka node, for tests of the import of its metadata. The records
//! are those that Kafka 4.4.0 encoded (`kafka-metadata/src/testdata`), or are encoded like them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::{DirectoryId, LeaderEpoch, Offset};

const RECORDS: &str = include_str!("../../../kafka-metadata/src/testdata/kafka-4.4.0.txt");

/// The cluster that the nodes belong to.
pub const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// The content of a node's directories, by path: `None` for a directory.
pub type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// A record of the metadata log.
#[derive(Debug, Clone)]
pub enum Record {
    /// Of the metadata.
    Metadata(Vec<u8>),
    /// Of the quorum: type and value.
    Control(i16, Vec<u8>),
}

/// Returns the newest version of a record that Kafka encoded.
pub fn encoded(name: &str) -> Record {
    let lines = RECORDS.lines().filter(|line| !line.starts_with('#'));
    let mut words = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    let words = words.rfind(|words| words[0] == name).unwrap();
    Record::Metadata(hex(words[2]))
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Appends a string as Kafka's flexible versions encode it.
pub fn text(to: &mut Vec<u8>, text: &str) {
    to.push(u8::try_from(text.len() + 1).unwrap());
    to.extend_from_slice(text.as_bytes());
}

/// Returns a dynamic value of all brokers' configuration.
pub fn config(key: &str, value: &str) -> Record {
    let mut bytes = vec![1, 4, 0, 4];
    for field in ["", key, value] {
        text(&mut bytes, field);
    }
    bytes.push(0);
    Record::Metadata(bytes)
}

/// Returns the record that finalizes a feature at a level.
pub fn feature(name: &str, level: u8) -> Record {
    let mut bytes = vec![1, 12, 0];
    text(&mut bytes, name);
    bytes.extend([0, level, 0]);
    Record::Metadata(bytes)
}

/// Returns the record that a leader begins its epoch with.
pub fn leader_change() -> Record {
    Record::Control(2, vec![0, 0])
}

/// Returns the record of `kraft.version` 1.
pub fn kraft_version() -> Record {
    Record::Control(5, vec![0, 0, 0, 1, 0])
}

/// Returns the voters, with the directories of [`directory`].
pub fn voters(ids: &[i32]) -> Record {
    let mut bytes = vec![0, 0, u8::try_from(ids.len() + 1).unwrap()];
    for id in ids {
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&directory(*id).to_bytes());
        bytes.push(2);
        text(&mut bytes, "CONTROLLER");
        text(&mut bytes, "localhost");
        bytes.extend_from_slice(&u16::try_from(9000 + id).unwrap().to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0]);
    }
    bytes.push(0);
    Record::Control(6, bytes)
}

/// Returns the id of a node's metadata directory.
pub fn directory(node: i32) -> DirectoryId {
    DirectoryId::from_bytes([u8::try_from(node).unwrap() + 40; 16])
}

/// Encodes a batch of records, all of one kind.
pub fn batch(base: u64, epoch: i32, records: &[Record]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset(i64::try_from(base).unwrap()),
        partition_leader_epoch: Some(LeaderEpoch(epoch)),
        control: matches!(records[0], Record::Control(..)),
        ..BatchOptions::default()
    });
    for record in records {
        match record {
            Record::Metadata(value) => builder.append(None, None, Some(value), &[]),
            Record::Control(kind, value) => {
                let key = [0i16.to_be_bytes(), kind.to_be_bytes()].concat();
                builder.append(None, Some(&key), Some(value), &[]);
            }
        }
    }
    builder.build().unwrap().to_vec()
}

/// A stopped node with one directory.
#[derive(Debug, Clone)]
pub struct KafkaNode {
    pub id: i32,
    /// End offset, epoch, control records and other records of the newest snapshot.
    pub snapshot: Option<(u64, i32, Vec<Record>, Vec<Record>)>,
    /// The log: the epoch and the records of each batch, from `log_begin` on.
    pub log: Vec<(i32, Vec<Record>)>,
    pub log_begin: u64,
    /// The text of `quorum-state`.
    pub quorum_state: String,
    /// Whether `meta.properties` has a `directory.id`.
    pub has_directory_id: bool,
}

impl KafkaNode {
    /// Creates a voter of a quorum with the voters 1 to 3 and `kraft.version` 0.
    pub fn new(id: i32) -> Self {
        Self {
            id,
            snapshot: None,
            log: Vec::new(),
            log_begin: 0,
            quorum_state: quorum_state(2, -1, &[1, 2, 3]),
            has_directory_id: true,
        }
    }

    /// Appends a batch.
    pub fn append(&mut self, epoch: i32, records: impl IntoIterator<Item = Record>) -> &mut Self {
        self.log.push((epoch, records.into_iter().collect()));
        self
    }

    /// Returns the files of the node's directory at `dir`.
    pub fn files(&self, dir: &Path) -> Files {
        let mut files = Files::new();
        let directory = match self.has_directory_id {
            true => format!("directory.id={}\n", directory(self.id)),
            false => String::new(),
        };
        let properties = format!(
            "#\n#Mon Nov 30 02:00:00 UTC 2026\ncluster.id={CLUSTER}\n{directory}version=1\n\
             node.id={}\n",
            self.id
        );
        files.insert(dir.join("meta.properties"), Some(properties.into()));
        files.insert(dir.join(".lock"), Some(Vec::new()));
        files.insert(
            dir.join("orders-3/partition.metadata"),
            Some(b"version: 0".into()),
        );
        let log = dir.join("__cluster_metadata-0");
        files.insert(
            log.join("quorum-state"),
            Some(self.quorum_state.clone().into()),
        );
        if let Some((end, epoch, control, records)) = &self.snapshot {
            let mut head = vec![Record::Control(3, vec![0, 0])];
            head.extend(control.clone());
            let mut bytes = batch(0, *epoch, &head);
            let mut at = head.len() as u64;
            if !records.is_empty() {
                bytes.extend(batch(at, *epoch, records));
                at += records.len() as u64;
            }
            bytes.extend(batch(at, *epoch, &[Record::Control(4, vec![0, 0])]));
            let name = format!("{end:020}-{epoch:010}.checkpoint");
            files.insert(log.join(name), Some(bytes));
        }
        let (mut at, mut segment) = (self.log_begin, Vec::new());
        for (epoch, records) in &self.log {
            segment.extend(batch(at, *epoch, records));
            at += records.len() as u64;
        }
        let name = format!("{:020}.log", self.log_begin);
        files.insert(log.join(name), Some(segment));
        files
    }

    /// Writes the files of the node's directory.
    pub fn write(&self, dir: &Path) {
        write(&self.files(dir));
    }
}

/// Writes files.
pub fn write(files: &Files) {
    for (path, content) in files {
        match content {
            None => std::fs::create_dir_all(path).unwrap(),
            Some(content) => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
        }
    }
}

/// Returns the text of `quorum-state` with `kraft.version` 0, without a leader.
pub fn quorum_state(epoch: i32, voted: i32, voters: &[i32]) -> String {
    let voters: Vec<String> = voters
        .iter()
        .map(|id| format!("{{\"voterId\":{id}}}"))
        .collect();
    format!(
        "{{\"clusterId\":\"\",\"leaderId\":-1,\"leaderEpoch\":{epoch},\"votedId\":{voted},\
         \"appliedOffset\":0,\"currentVoters\":[{}],\"data_version\":0}}",
        voters.join(",")
    )
}

/// Returns the text of `quorum-state` with `kraft.version` 1.
pub fn quorum_state_1(epoch: i32, leader: i32) -> String {
    format!(
        "{{\"leaderId\":{leader},\"leaderEpoch\":{epoch},\"votedId\":-1,\
         \"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}}"
    )
}
