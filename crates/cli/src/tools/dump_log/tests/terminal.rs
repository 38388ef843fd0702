//! How far the tool is, on a terminal: on pseudo-terminals, in a process of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{LOG, THREE_RECORDS, bytes, folder};
use crate::Host;

/// The arguments of the tool that this program is to be, one a line.
const ARGUMENTS: &str = "DOHLE_TEST_ARGUMENTS";
/// How long a text may be awaited.
const DEADLINE: Duration = Duration::from_secs(60);
/// After this time a line would be there.
const LONG: Duration = Duration::from_secs(1);
/// How long a text is awaited before the tool may write on.
const PACE: Duration = Duration::from_millis(20);
/// How many bytes it may write then.
const PIECE: usize = 1 << 14;

/// What a stream of the tool is.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Pipe,
    Terminal,
}

impl Stream {
    /// The end that is read here, and the tool's.
    fn open(self) -> (File, OwnedFd) {
        match self {
            Self::Pipe => {
                let (ours, its) = std::io::pipe().unwrap();
                (OwnedFd::from(ours).into(), its.into())
            }
            Self::Terminal => {
                let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
                let ours = openpt(flags).unwrap();
                grantpt(&ours).unwrap();
                unlockpt(&ours).unwrap();
                let name = ptsname(&ours, Vec::new()).unwrap();
                let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
                let its = rustix::fs::open(name, flags, Mode::empty()).unwrap();
                (ours.into(), its)
            }
        }
    }
}

/// Shows a large segment to somebody who reads slowly until there is a line on standard error, or
/// ought to be one. Returns what was on standard error.
fn shown_slowly(stdout: Stream, stderr: Stream, limit: Duration) -> String {
    let folder = folder(&[(LOG, segment(4000))]);
    let file = folder.path().join(LOG);
    let arguments = format!("--print-data-log\n--files\n{}", file.display());
    let (mut output, its_output) = stdout.open();
    let (errors, its_errors) = stderr.open();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let (_, module) = module_path!().split_once("::").unwrap();
    command
        .args(["--exact", &format!("{module}::tool"), "--nocapture"])
        .env(ARGUMENTS, arguments)
        .env("TERM", "xterm")
        .stdout(its_output)
        .stderr(its_errors);
    let mut child = command.spawn().unwrap();
    // Its ends of the streams are in here.
    drop(command);
    let errors = read_on(errors);
    let mut told = String::new();
    let mut began = None;
    while !told.contains("read") && began.is_none_or(|began: Instant| began.elapsed() < limit) {
        match errors.recv_timeout(PACE) {
            Ok(text) => told += &text,
            Err(RecvTimeoutError::Timeout) => {
                let read = piece(&mut output, &mut [0; PIECE]);
                assert_ne!(read, 0, "the segment is too small");
                began.get_or_insert_with(Instant::now);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    while piece(&mut output, &mut [0; PIECE]) > 0 {}
    told.extend(errors);
    assert!(child.wait().unwrap().success(), "{told:?}");
    told
}

/// A segment of so many batches, each of three records.
fn segment(batches: i64) -> Vec<u8> {
    let batch = bytes(THREE_RECORDS);
    let (_, rest) = batch.split_at(size_of::<i64>());
    let base_offsets = (0..batches).map(|number| 3 * number);
    base_offsets
        .flat_map(|offset| [&offset.to_be_bytes(), rest].concat())
        .collect()
}

/// All that comes from a stream, as it comes.
fn read_on(mut stream: File) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; PIECE];
        loop {
            let read = piece(&mut stream, &mut buffer);
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if read == 0 || sender.send(text).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reads what there is, at least a byte; nothing at the end.
fn piece(stream: &mut File, buffer: &mut [u8]) -> usize {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A pseudo-terminal that nobody has open any more ends with an error.
            read => return read.unwrap_or(0),
        }
    }
}

/// The tool that the tests begin; nothing otherwise.
#[test]
fn tool() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let host = Host {
        server: |_| ExitCode::FAILURE,
        directories: |_, _| anyhow::bail!("no server"),
        format: |_, _, _, _| anyhow::bail!("no server"),
        inspect_voter: |_| anyhow::bail!("no server"),
        recover_quorum: |_| anyhow::bail!("no server"),
        plan_import: |_| anyhow::bail!("no server"),
    };
    let arguments = arguments.lines().map(OsString::from).collect();
    let code = crate::run(&super::TOOL, arguments, &host);
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

#[test]
fn a_large_segment_is_counted_on_the_terminal() {
    let told = shown_slowly(Stream::Pipe, Stream::Terminal, DEADLINE);
    let line = "% of 456.0 kB read";
    assert!(told.contains(line), "{told:?}");
    // Each text takes away the one before, and the last one is taken away too.
    let texts: Vec<&str> = told.split("\r\x1b[K").collect();
    assert_eq!((texts.first(), texts.last()), (Some(&""), Some(&"")));
    let inner = &texts[1..texts.len() - 1];
    assert!(inner.iter().all(|text| text.ends_with(line)), "{told:?}");
}

#[test]
fn nothing_is_counted_where_nobody_looks() {
    assert_eq!(shown_slowly(Stream::Pipe, Stream::Pipe, LONG), "");
}

#[test]
fn nothing_is_counted_between_what_is_shown_on_the_terminal() {
    assert_eq!(shown_slowly(Stream::Terminal, Stream::Terminal, LONG), "");
}
