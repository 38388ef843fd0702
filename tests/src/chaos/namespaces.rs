//! Runs the program again where it may cut links and fill disks: in network and mount namespaces
//! of its own, which nothing outside of it sees and which end with it.
//!
//! Needs util-linux and iproute2, and root or user namespaces. Nothing else on the machine changes.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use super::plan::Abilities;

/// Set in the program that runs in namespaces of its own.
const INSIDE: &str = "DOHLE_CHAOS_NAMESPACES";

/// Makes everything once that a run needs.
const PROBE: &str = "ip link set lo up && ip link add probe type bridge && \
                     ip link add probe1 type veth peer name probe2 && \
                     mount -t tmpfs -o size=1m probe /tmp";

/// Runs this program again, with the same arguments, in namespaces of its own where they are
/// allowed. Returns what the program can do to its nodes: only in the new program, or where
/// namespaces are refused.
pub fn enter() -> Result<Abilities> {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"])?;
        return Ok(Abilities {
            cuts_links: true,
            fills_disks: true,
            ..Abilities::default()
        });
    }
    let mut reason = String::new();
    for user in [&[][..], &["--user", "--map-root-user"]] {
        let mut unshare = Command::new("unshare");
        unshare.args(user).args(["--net", "--mount", "--"]);
        let probe = unshare.args(["sh", "-c", PROBE]).output();
        reason = match probe {
            Ok(output) if output.status.success() => {
                let mut again = Command::new("unshare");
                again.args(user).args(["--net", "--mount", "--"]);
                again.arg(std::env::current_exe()?);
                again.args(std::env::args_os().skip(1)).env(INSIDE, "1");
                return Err(again.exec()).context("run in namespaces");
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("unshare: {error}"),
        };
    }
    println!("left out: cuts of links and full disks, which need namespaces: {reason}");
    Ok(Abilities::default())
}

/// Runs a program that is expected to succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    let output = command.args(arguments).output();
    let output = output.with_context(|| format!("run {command:?}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
