//! Free TCP ports for the nodes of a cluster.
//!
//! The system uses the ports that it assigns itself (by binding port 0) for outgoing connections
//! too, so the port of a node that is down could be taken. Ports are therefore chosen below that
//! range, and each is checked by binding it once.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// The next port to try, counted from the start of the range.
static NEXT: AtomicU32 = AtomicU32::new(u32::MAX);

/// Returns a port that nothing listens on, and that no other call in this process returns.
///
/// The range is 20000 to 31999, or the one in `DOHLE_TEST_PORTS=FIRST-LAST`.
pub fn free_port() -> Result<u16> {
    free_ports(1)
}

/// Like [`free_port`], for `count` ports in a row; returns the first of them.
pub fn free_ports(count: u16) -> Result<u16> {
    let range = range()?;
    let length = u32::from(range.end - range.start);
    // Several test programs may run at the same time, so each starts at another position of the
    // range.
    let start = std::process::id().wrapping_mul(97) % length;
    let _ = NEXT.compare_exchange(u32::MAX, start, Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..length {
        let step = NEXT.fetch_add(u32::from(count), Ordering::Relaxed) % length;
        let port = range.start + u16::try_from(step)?;
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if port + count <= range.end && (port..port + count).all(free) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port in {range:?}")
}

fn range() -> Result<Range<u16>> {
    let Ok(given) = std::env::var("DOHLE_TEST_PORTS") else {
        return Ok(20_000..32_000);
    };
    let parsed = given.split_once('-').and_then(|(first, last)| {
        Some(first.parse::<u16>().ok()?..last.parse::<u16>().ok()?.checked_add(1)?)
    });
    parsed.with_context(|| format!("DOHLE_TEST_PORTS={given}: expected FIRST-LAST"))
}
