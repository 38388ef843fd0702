//! Floors: what the parts of every streaming server's work cost on this machine, each as plain as
//! possible.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dohle_tests::proc;

use crate::figures::{Figures, OfWorkload};
use crate::options::Lengths;
use crate::runs;
use crate::system::System;
use crate::workloads;

/// The size of one copy, checksum, write or read, in bytes: a batch.
const CHUNK: usize = 64 * 1024;
/// The bytes that a floor of throughput handles.
const BYTES: usize = 2_000_000_000;
/// The messages of the ping-pong.
const ROUNDS: u32 = 50_000;

/// Measures all floors but those that are systems of their own.
pub fn measure(lengths: &Lengths, figures: &mut Figures) -> Result<()> {
    println!("floors");
    parts(&mut figures.of("floor"))?;
    let system = System::null(1, false)?;
    let alone = |workload: &workloads::Workload| workload.name == workloads::ALONE;
    let mut answered = Figures::default();
    runs::measure(&system, lengths, alone, &mut answered)?;
    let mut floors = figures.of("a node that answers and keeps nothing");
    for figure in answered.all {
        if ["throughput", "CPU"].contains(&figure.name) {
            floors.context(figure.name, figure.unit, figure.value);
        }
    }
    Ok(())
}

fn parts(figures: &mut OfWorkload<'_>) -> Result<()> {
    let chunk = vec![0x5a_u8; CHUNK];
    let mut target = vec![0_u8; CHUNK];
    let cost = cpu_of(|| {
        for _ in 0..BYTES / CHUNK {
            target.copy_from_slice(black_box(&chunk));
            black_box(&mut target);
        }
        Ok(())
    })?;
    per_gigabyte(figures, "memory copy", cost.cpu);
    let cost = cpu_of(|| {
        for _ in 0..BYTES / CHUNK {
            black_box(crc_fast::crc32_iscsi(black_box(&chunk)));
        }
        Ok(())
    })?;
    per_gigabyte(figures, "CRC-32C", cost.cpu);
    let cost = cpu_of(|| {
        let mut file = tempfile::tempfile().context("create a file for the floor")?;
        for _ in 0..BYTES / CHUNK {
            file.write_all(&chunk)?;
        }
        Ok(())
    })?;
    per_gigabyte(figures, "append to a file in the page cache", cost.cpu);
    let cost = cpu_of(|| loopback(&chunk))?;
    per_gigabyte(figures, "loopback TCP, both ends", cost.cpu);
    let cost = cpu_of(ping_pong)?;
    let rounds = f64::from(ROUNDS) / 1e6;
    figures.context(
        "ping-pong over loopback TCP, both ends",
        "CPU-s per million",
        cost.cpu.as_secs_f64() / rounds,
    );
    figures.context(
        "ping-pong over loopback TCP, round trip",
        "µs",
        cost.wall.as_secs_f64() / rounds,
    );
    Ok(())
}

struct Cost {
    cpu: Duration,
    wall: Duration,
}

/// Returns the time that the work takes, and the CPU time of this process meanwhile.
fn cpu_of(work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let pid = std::process::id();
    let (before, start) = (proc::cpu_time(pid)?, Instant::now());
    work()?;
    let wall = start.elapsed();
    let cpu = proc::cpu_time(pid)?.saturating_sub(before);
    Ok(Cost { cpu, wall })
}

fn per_gigabyte(figures: &mut OfWorkload<'_>, name: &'static str, cpu: Duration) {
    let value = cpu.as_secs_f64() / (BYTES as f64 / 1e9);
    figures.context(name, "CPU-s/GB", value);
}

fn connected() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
    }
    Ok((client, server))
}

fn loopback(chunk: &[u8]) -> Result<()> {
    let (mut sender, mut receiver) = connected()?;
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        while receiver.read(&mut buffer)? > 0 {}
        Ok(())
    });
    for _ in 0..BYTES / CHUNK {
        sender.write_all(chunk)?;
    }
    drop(sender);
    joined(reader)
}

fn ping_pong() -> Result<()> {
    let (mut near, mut far) = connected()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut byte = [0];
        for _ in 0..ROUNDS {
            far.read_exact(&mut byte)?;
            far.write_all(&byte)?;
        }
        Ok(())
    });
    let mut byte = [0];
    for _ in 0..ROUNDS {
        near.write_all(&byte)?;
        near.read_exact(&mut byte)?;
    }
    joined(echo)
}

fn joined(thread: std::thread::JoinHandle<std::io::Result<()>>) -> Result<()> {
    match thread.join() {
        Ok(result) => Ok(result?),
        Err(_) => anyhow::bail!("the other end of a floor's connection panicked"),
    }
}
