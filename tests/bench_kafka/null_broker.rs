//! The null broker: the plainest program that does what a broker cannot avoid.
//!
//! It reads Produce requests, appends their batches to files, copies them to the other nodes, and
//! answers: one thread a connection, blocking calls, no checks, no index. What it costs is a floor
//! for every broker on this machine. It is a process of its own, so that its usage is counted as
//! that of a server.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dohle_tests::ports::free_port;
use dohle_tests::{KafkaConnection, until, wait::DEADLINE};
use tempfile::TempDir;

use crate::null_answers::{self, ALONE, Nodes, Produce};

/// The first argument of the process.
pub const ARGUMENT: &str = "null-broker";
/// Requests are read in pieces of this size; what is larger is read at once.
const READ_BYTES: usize = 16 << 10;

/// Running null brokers. When it is dropped, they are ended and their files removed.
#[derive(Debug)]
pub struct NullCluster {
    children: Vec<Child>,
    nodes: Nodes,
    directory: TempDir,
}

impl NullCluster {
    /// Starts so many nodes, and waits until each answers.
    pub fn start(count: usize, appends: bool) -> Result<Self> {
        let directory = TempDir::with_prefix("dohle-null-")?;
        let ports = (0..count).map(|_| Ok(("127.0.0.1".to_owned(), free_port()?)));
        let nodes = Nodes(ports.collect::<Result<_>>()?);
        let mut cluster = Self {
            children: Vec::new(),
            nodes,
            directory,
        };
        for index in 0..count {
            let mut command = Command::new(std::env::current_exe()?);
            command
                .arg(ARGUMENT)
                .arg(index.to_string())
                .arg(cluster.bootstrap());
            if appends {
                command.arg(cluster.folder(index)?);
            }
            // The node ends when the other end of its standard input does.
            let child = command.stdin(Stdio::piped()).spawn()?;
            cluster.children.push(child);
        }
        for (_, port) in &cluster.nodes.0 {
            let address = ([127, 0, 0, 1], *port).into();
            until(DEADLINE, "a null broker answers", || {
                Ok(KafkaConnection::open(address)?.api_versions().is_ok())
            })?;
        }
        Ok(cluster)
    }

    /// Returns the addresses of all nodes.
    pub fn bootstrap(&self) -> String {
        let all = self.nodes.0.iter();
        let all: Vec<String> = all.map(|(host, port)| format!("{host}:{port}")).collect();
        all.join(",")
    }

    /// Returns the processes.
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Removes all records.
    pub fn clear(&self) -> Result<()> {
        for index in 0..self.children.len() {
            let folder = self.folder(index)?;
            std::fs::remove_dir_all(&folder)?;
            std::fs::create_dir(&folder)?;
        }
        Ok(())
    }

    fn folder(&self, index: usize) -> Result<PathBuf> {
        let folder = self.directory.path().join(index.to_string());
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

impl Drop for NullCluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs one node until its standard input ends: the arguments are its index, the addresses of all
/// nodes, and the folder for records, if it keeps them.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [index, addresses, folder @ ..] = arguments else {
        anyhow::bail!("{ARGUMENT} needs an index and addresses");
    };
    let address = |text: &str| -> Result<(String, u16)> {
        let (host, port) = text.split_once(':').context("an address has a port")?;
        Ok((host.to_owned(), port.parse()?))
    };
    let nodes = addresses.split(',').map(address);
    let node = Node {
        index: index.parse()?,
        nodes: Nodes(nodes.collect::<Result<_>>()?),
        folder: folder.first().map(PathBuf::from),
        producers: AtomicI64::new(0),
    };
    listen(node)?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn listen(node: Node) -> Result<()> {
    let listener = TcpListener::bind(&node.nodes.0[node.index])?;
    let node = Arc::new(node);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let node = Arc::clone(&node);
            std::thread::spawn(move || {
                if let Err(error) = node.connection(&stream) {
                    eprintln!("null broker: {error:#}");
                }
            });
        }
    });
    Ok(())
}

struct Node {
    index: usize,
    nodes: Nodes,
    folder: Option<PathBuf>,
    producers: AtomicI64,
}

impl Node {
    fn connection(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::with_capacity(READ_BYTES, stream);
        let mut output = stream;
        let mut frame = Vec::new();
        let mut log = Log::new(self.folder.as_deref());
        let mut followers: Option<Vec<Follower>> = None;
        while read_frame(&mut input, &mut frame)? {
            let Some(request) = null_answers::produce(&frame[4..])? else {
                let producer = self.producers.fetch_add(1, Ordering::Relaxed);
                let body = Bytes::copy_from_slice(&frame[4..]);
                let answer = null_answers::answer(body, &self.nodes, producer)?;
                output.write_all(&answer)?;
                continue;
            };
            let partition = usize::try_from(request.partition)?;
            let leads = self.nodes.leader(partition) == self.index;
            let is_replicated = leads && !request.topic.ends_with(ALONE);
            log.append(&request, &frame[4..])?;
            if is_replicated {
                let followers = match &mut followers {
                    Some(followers) => followers,
                    none => none.insert(self.followers()?),
                };
                for follower in followers.iter_mut() {
                    follower.stream.get_mut().write_all(&frame)?;
                }
                for follower in followers {
                    ensure!(
                        read_frame(&mut follower.stream, &mut follower.answer)?,
                        "a follower closed its connection"
                    );
                }
            }
            output.write_all(&null_answers::produce_answer(&request))?;
        }
        Ok(())
    }

    fn followers(&self) -> Result<Vec<Follower>> {
        let others = self.nodes.0.iter().enumerate();
        let others = others.filter(|(index, _)| *index != self.index);
        let connect = |(_, address): (usize, &(String, u16))| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(Follower {
                stream: BufReader::with_capacity(READ_BYTES, stream),
                answer: Vec::new(),
            })
        };
        others.map(connect).collect()
    }
}

struct Follower {
    stream: BufReader<TcpStream>,
    answer: Vec<u8>,
}

/// The files of one connection. Others append to the same ones.
struct Log<'a> {
    folder: Option<&'a Path>,
    files: BTreeMap<i32, File>,
}

impl<'a> Log<'a> {
    fn new(folder: Option<&'a Path>) -> Self {
        Self {
            folder,
            files: BTreeMap::new(),
        }
    }

    fn append(&mut self, request: &Produce<'_>, frame: &[u8]) -> Result<()> {
        let Some(folder) = self.folder else {
            return Ok(());
        };
        let file = match self.files.entry(request.partition) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let path = folder.join(format!("{}-{}", request.topic, request.partition));
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                entry.insert(file)
            }
        };
        Ok(file.write_all(&frame[request.batch.clone()])?)
    }
}

/// Reads a frame with its length; returns false when the other side closed the connection before
/// one.
fn read_frame<R: Read>(input: &mut BufReader<R>, frame: &mut Vec<u8>) -> Result<bool> {
    let end = match input.fill_buf() {
        Ok(bytes) => bytes.is_empty(),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => return Err(error.into()),
    };
    if end {
        return Ok(false);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let size = 4 + usize::try_from(u32::from_be_bytes(length))?;
    // The frame before it was filled with zeros already as far as it goes.
    if frame.len() < size {
        frame.resize(size, 0);
    }
    frame.truncate(size);
    frame[..4].copy_from_slice(&length);
    input.read_exact(&mut frame[4..])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dohle_load::{End, Load, ProduceLoad, StopSignal};

    /// The sizes of all files in a folder whose names begin so.
    fn bytes(folder: &Path, topic: &str) -> u64 {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let of_topic =
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(topic));
        of_topic.map(|entry| entry.metadata().unwrap().len()).sum()
    }

    #[test]
    fn every_batch_is_on_all_nodes_before_it_is_acknowledged() {
        let directory = TempDir::new().unwrap();
        let folders: Vec<_> = (0..3)
            .map(|index| directory.path().join(index.to_string()))
            .collect();
        let ports = [(); 3].map(|()| ("127.0.0.1".to_owned(), free_port().unwrap()));
        let nodes = Nodes(ports.to_vec());
        for (index, folder) in folders.iter().enumerate() {
            std::fs::create_dir(folder).unwrap();
            let node = Node {
                index,
                nodes: nodes.clone(),
                folder: Some(folder.clone()),
                producers: AtomicI64::new(0),
            };
            listen(node).unwrap();
        }
        let load = |topic: &str| Load {
            bootstrap: format!("127.0.0.1:{}", nodes.0[0].1),
            properties: Default::default(),
            topic: topic.to_owned(),
            threads: 1,
            warm_up: std::time::Duration::ZERO,
            end: End::Records(300),
            produce: Some(ProduceLoad {
                connections: 2,
                batch_records: 10,
                idempotent: true,
                ..ProduceLoad::default()
            }),
            consume: None,
        };
        for topic in ["copied-r3", "alone-r1"] {
            let report = dohle_load::run(&load(topic), &StopSignal::default()).unwrap();
            let produced = report.produce.unwrap();
            assert_eq!((produced.records, produced.failed_records), (300, 0));
        }
        let copied: Vec<u64> = folders.iter().map(|it| bytes(it, "copied")).collect();
        assert!(copied[0] > 300 * 1024, "{copied:?}");
        assert_eq!(copied, [copied[0]; 3]);
        let alone: u64 = folders.iter().map(|it| bytes(it, "alone")).sum();
        assert_eq!(alone, copied[0]);
    }
}
