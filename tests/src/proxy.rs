//! Proxies between clients and the nodes of a cluster, which lose chosen answers.
//!
//! Clients that begin at a proxy stay with the proxies: each node advertises its own to them. Nodes
//! talk to each other directly. A [`LoadBalancer`] only answers first connections: the nodes
//! advertise their own addresses behind it.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};

use crate::Cluster;
use crate::ports::free_port;

/// The most bytes of a frame.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// No API, no request.
const NONE: i32 = -1;

/// One proxy for each node of a cluster.
#[derive(Debug)]
pub struct Proxies {
    proxies: Vec<Proxy>,
    losses: Arc<Losses>,
}

#[derive(Debug)]
struct Proxy {
    node: i32,
    front: SocketAddr,
    behind: SocketAddr,
    /// The thread that accepts connections, and whether it is to end.
    accepts: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
}

#[derive(Debug)]
struct Losses {
    /// The API whose next request is not answered.
    key: AtomicI32,
    count: AtomicUsize,
}

impl Default for Losses {
    fn default() -> Self {
        Self {
            key: AtomicI32::new(NONE),
            count: AtomicUsize::new(0),
        }
    }
}

impl Proxies {
    /// Starts a proxy for each node of a cluster that is prepared and does not run yet.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let losses = Arc::new(Losses::default());
        let mut proxies = Vec::new();
        for node in cluster.nodes() {
            let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let front = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let mut file = String::new();
            for line in std::fs::read_to_string(&node.properties)?.lines() {
                let addition = match line.split('=').next() {
                    Some("listeners") => format!(",CLIENTS://{behind}"),
                    Some("advertised.listeners") => format!(",CLIENTS://{front}"),
                    Some("listener.security.protocol.map") => ",CLIENTS:PLAINTEXT".to_owned(),
                    _ => String::new(),
                };
                writeln!(file, "{line}{addition}")?;
            }
            std::fs::write(&node.properties, file)?;
            proxies.push(Proxy {
                node: node.id,
                front,
                behind,
                accepts: None,
            });
        }
        let mut this = Self { proxies, losses };
        for node in cluster.nodes() {
            this.open(node.id)?;
        }
        Ok(this)
    }

    /// The address of a node's proxy.
    pub fn address(&self, node: i32) -> SocketAddr {
        let found = self.proxies.iter().find(|proxy| proxy.node == node);
        found.expect("no node has this id").front
    }

    /// The addresses of all proxies, for a client.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self
            .proxies
            .iter()
            .map(|proxy| proxy.front.to_string())
            .collect();
        addresses.join(",")
    }

    /// Lets the proxy of a node accept connections.
    pub fn open(&mut self, node: i32) -> Result<()> {
        let losses = Arc::clone(&self.losses);
        let proxy = self.of(node);
        proxy.open(vec![proxy.behind], losses)
    }

    /// Lets the proxy of a node refuse connections, as the node does when it is down. Those that
    /// there are stay.
    pub fn close(&mut self, node: i32) {
        self.of(node).close();
    }

    /// The next request of this API reaches its node; the client's connection ends before the
    /// answer.
    pub fn lose_next_answer(&self, key: i16) {
        self.losses.key.store(key.into(), Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub fn lost(&self) -> usize {
        self.losses.count.load(Ordering::SeqCst)
    }

    fn of(&mut self, node: i32) -> &mut Proxy {
        let found = self.proxies.iter_mut().find(|proxy| proxy.node == node);
        found.expect("no node has this id")
    }
}

/// One address in front of several nodes, which get its connections in turn. No node advertises it.
#[derive(Debug)]
pub struct LoadBalancer(Proxy);

impl LoadBalancer {
    /// Starts it in front of the addresses of a cluster's nodes, the last node first.
    pub fn start(nodes: &[String]) -> Result<Self> {
        let nodes: Result<Vec<SocketAddr>, _> =
            nodes.iter().rev().map(|node| node.parse()).collect();
        let nodes = nodes?;
        let mut proxy = Proxy {
            node: NONE,
            front: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            behind: nodes[0],
            accepts: None,
        };
        proxy.open(nodes, Arc::new(Losses::default()))?;
        Ok(Self(proxy))
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.0.front
    }
}

impl Proxy {
    fn open(&mut self, behind: Vec<SocketAddr>, losses: Arc<Losses>) -> Result<()> {
        let listener = TcpListener::bind(self.front)?;
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ends);
        let thread = std::thread::spawn(move || accept(&listener, &behind, &losses, &ending));
        self.accepts = Some((thread, ends));
        Ok(())
    }

    fn close(&mut self) {
        if let Some((thread, ends)) = self.accepts.take() {
            ends.store(true, Ordering::SeqCst);
            // The thread sees that it has to end once it accepts a connection.
            let _ = TcpStream::connect(self.front);
            let _ = thread.join();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: &TcpListener, behind: &[SocketAddr], losses: &Arc<Losses>, ends: &AtomicBool) {
    for behind in behind.iter().copied().cycle() {
        let Ok((client, _)) = listener.accept() else {
            return;
        };
        if ends.load(Ordering::SeqCst) {
            return;
        }
        let losses = Arc::clone(losses);
        std::thread::spawn(move || connect(&client, behind, &losses));
    }
}

fn connect(client: &TcpStream, behind: SocketAddr, losses: &Arc<Losses>) -> Result<()> {
    let node = TcpStream::connect(behind)?;
    client.set_nodelay(true)?;
    node.set_nodelay(true)?;
    // The correlation id of the request whose answer is lost, with which the connection ends.
    let unanswered = Arc::new(AtomicI64::new(NONE.into()));
    let (answers, replies) = (node.try_clone()?, client.try_clone()?);
    let (lost, counts) = (Arc::clone(&unanswered), Arc::clone(losses));
    std::thread::spawn(move || {
        let _ = forward(&answers, &replies, |answer| {
            if i64::from(number(answer, 0)?) != lost.load(Ordering::SeqCst) {
                return Ok(true);
            }
            counts.count.fetch_add(1, Ordering::SeqCst);
            Ok(false)
        });
        end(&answers, &replies);
    });
    let _ = forward(client, &node, |request| {
        let (key, id) = (number(request, 0)? >> 16, number(request, 4)?);
        let order = Ordering::SeqCst;
        if losses.key.compare_exchange(key, NONE, order, order).is_ok() {
            unanswered.store(id.into(), order);
        }
        Ok(true)
    });
    end(client, &node);
    Ok(())
}

/// Copies frames until a side closes, or `passes` refuses one.
fn forward(
    mut from: &TcpStream,
    mut to: &TcpStream,
    passes: impl Fn(&[u8]) -> Result<bool>,
) -> Result<()> {
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let size = usize::try_from(i32::from_be_bytes(length))?;
        ensure!(size <= FRAME_BYTES_MAX, "a frame of {size} bytes");
        let mut frame = vec![0; size];
        from.read_exact(&mut frame)?;
        if !passes(&frame)? {
            return Ok(());
        }
        to.write_all(&[&length[..], &frame].concat())?;
    }
}

fn end(one: &TcpStream, other: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

fn number(frame: &[u8], at: usize) -> Result<i32> {
    let bytes = frame.get(at..at + 4).context("a short frame")?;
    Ok(i32::from_be_bytes(bytes.try_into()?))
}
