//! A network of the nodes that loses what one of them sends to another, in silence.
//!
//! ```text
//!   the program ── bridge ─┬─ veth ── node 1
//!                          ├─ veth ── node 2
//!                          └─ veth ── node 3
//! ```
//!
//! Each node has a network namespace of its own. A link is cut one way by a wrong hardware address
//! of the receiver at the sender: the bridge forwards the packets, and no one accepts them. So
//! neither side gets an error, as when a cable is pulled out. The program reaches all nodes.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::namespaces::run;
use crate::until;
use crate::wait::DEADLINE;

/// The hardware address of no node.
const NOBODY: &str = "02:00:00:00:00:ff";
/// The program's own address, on the bridge.
const PROGRAM: &str = "10.77.0.254/24";

/// The network of a cluster.
#[derive(Debug)]
pub struct Network {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    id: i32,
    /// A process that keeps the namespace until this program ends, however that happens.
    holder: Child,
}

/// Returns the address of a node.
#[must_use]
pub fn address(id: i32) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, id.to_le_bytes()[0])
}

fn hardware_address(id: i32) -> String {
    format!("02:00:00:00:00:{id:02x}")
}

impl Network {
    /// Builds the network of these nodes, in the program's own network namespace.
    pub fn start(ids: &[i32]) -> Result<Self> {
        run("ip", &["link", "add", "nodes", "type", "bridge"])?;
        run("ip", &["addr", "add", PROGRAM, "dev", "nodes"])?;
        run("ip", &["link", "set", "nodes", "up"])?;
        let members = ids.iter().map(|id| Member::start(*id));
        let this = Self {
            members: members.collect::<Result<_>>()?,
        };
        for (from, to) in this.pairs() {
            this.heal(from, to)?;
        }
        for (from, to) in this.pairs() {
            this.check(from, to)
                .with_context(|| format!("the link from node {from} to node {to}"))?;
        }
        Ok(this)
    }

    /// Returns the file of a node's namespace.
    pub fn namespace(&self, id: i32) -> Result<PathBuf> {
        Ok(self.member(id)?.namespace())
    }

    /// Loses what `from` sends to `to` from now on.
    pub fn cut(&self, from: i32, to: i32) -> Result<()> {
        self.route(from, to, NOBODY)
    }

    /// Ends [`Network::cut`].
    pub fn heal(&self, from: i32, to: i32) -> Result<()> {
        self.route(from, to, &hardware_address(to))
    }

    fn route(&self, from: i32, to: i32, hardware: &str) -> Result<()> {
        let to = address(to).to_string();
        let neighbour = ["neigh", "replace", &to, "lladdr", hardware];
        let member = self.member(from)?;
        member.ip(&[&neighbour[..], &["dev", "eth0", "nud", "permanent"]].concat())
    }

    fn pairs(&self) -> Vec<(i32, i32)> {
        let ids = || self.members.iter().map(|member| member.id);
        let pairs = ids().flat_map(|from| ids().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).collect()
    }

    fn member(&self, id: i32) -> Result<&Member> {
        let found = self.members.iter().find(|member| member.id == id);
        found.with_context(|| format!("there is no node {id}"))
    }

    /// Fails unless a cut loses what is sent one way, without an error, and nothing else.
    fn check(&self, from: i32, to: i32) -> Result<()> {
        let (sender, receiver) = (self.member(from)?, self.member(to)?);
        let before = [receiver.received()?, sender.received()?];
        let arrived = || {
            let now = [receiver.received()?, sender.received()?];
            Ok::<_, anyhow::Error>([now[0] - before[0], now[1] - before[1]])
        };
        self.cut(from, to)?;
        sender.send(to)?;
        receiver.send(from)?;
        until(DEADLINE, "a datagram arrives the other way", || {
            Ok(arrived()?[1] == 1)
        })?;
        self.heal(from, to)?;
        sender.send(to)?;
        until(DEADLINE, "a datagram arrives after the cut", || {
            Ok(arrived()?[0] > 0)
        })?;
        let arrived = arrived()?;
        ensure!(arrived == [1, 1], "{arrived:?} datagrams arrived");
        Ok(())
    }
}

/// The first argument of the program that a [`Network`] starts to send a datagram; the second is
/// the receiver's address.
pub const DATAGRAM: &str = "datagram";

/// Sends a datagram to a port that nobody listens on.
pub fn send_datagram(to: &str) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.send_to(&[1], (to, 9))?;
    Ok(())
}

impl Member {
    fn start(id: i32) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]);
        // `cat` ends when this program's end of the pipe is closed.
        let holder = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let holder = holder.context("start unshare")?;
        let this = Self { id, holder };
        let own = std::fs::read_link("/proc/self/ns/net")?;
        until(DEADLINE, "there is a namespace", || {
            Ok(std::fs::read_link(this.namespace())? != own)
        })?;
        let (port, pid) = (format!("node{id}"), this.holder.id().to_string());
        let hardware = hardware_address(id);
        let peer = ["peer", "name", "eth0", "address", &hardware, "netns", &pid];
        run(
            "ip",
            &[&["link", "add", &port, "type", "veth"], &peer[..]].concat(),
        )?;
        run("ip", &["link", "set", &port, "master", "nodes", "up"])?;
        this.ip(&["link", "set", "lo", "up"])?;
        this.ip(&["addr", "add", &format!("{}/24", address(id)), "dev", "eth0"])?;
        this.ip(&["link", "set", "eth0", "up"])?;
        Ok(this)
    }

    fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    /// Runs `ip` in the namespace.
    fn ip(&self, arguments: &[&str]) -> Result<()> {
        self.inside(&[&["ip"], arguments].concat())
    }

    /// Sends a datagram to another node.
    fn send(&self, to: i32) -> Result<()> {
        let program = std::env::current_exe()?.display().to_string();
        self.inside(&[&program, DATAGRAM, &address(to).to_string()])
    }

    /// Runs a program in the namespace.
    fn inside(&self, command: &[&str]) -> Result<()> {
        let namespace = format!("--net={}", self.namespace().display());
        run("nsenter", &[&[namespace.as_str(), "--"], command].concat())
    }

    /// Returns how many datagrams have arrived that nobody listened for.
    fn received(&self) -> Result<u64> {
        let path = format!("/proc/{}/net/snmp", self.holder.id());
        let counters = std::fs::read_to_string(path)?;
        let mut lines = counters
            .lines()
            .filter_map(|line| line.strip_prefix("Udp: "));
        let (names, values) = (lines.next(), lines.next());
        let (names, values) = names.zip(values).context("no counters of UDP")?;
        let mut pairs = names.split(' ').zip(values.split(' '));
        let found = pairs.find(|(name, _)| *name == "NoPorts");
        Ok(found.context("no counter of lost datagrams")?.1.parse()?)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
