//! Binds a listener's port.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::{BindError, Limits, ListenerConfig};

/// Binds the first address of the host that can be bound. Of `localhost`, all addresses are bound,
/// because clients resolve it to 127.0.0.1 or to `::1`; the first is the listener's address.
pub(super) async fn bind(
    config: &ListenerConfig,
    limits: &Limits,
) -> Result<Vec<(TcpListener, SocketAddr)>, BindError> {
    let mut addresses = addresses(config).await?.into_iter();
    let mut failed = None;
    while let Some(address) = addresses.next() {
        match bind_one(address, limits) {
            Ok(bound) if is_localhost(config) => {
                return bind_others(config, limits, bound, addresses);
            }
            Ok(bound) => return Ok(vec![bound]),
            Err(source) => {
                let listener = config.name.clone();
                failed.get_or_insert(BindError::Bind {
                    listener,
                    address,
                    source,
                });
            }
        }
    }
    Err(failed.unwrap_or_else(|| BindError::Resolve {
        listener: config.name.clone(),
        host: config.host.clone(),
        source: std::io::Error::other("the name has no address"),
    }))
}

fn is_localhost(config: &ListenerConfig) -> bool {
    config.host.eq_ignore_ascii_case("localhost")
}

/// Binds the other addresses of a host with the port of the first. An address that this machine
/// does not have is left out.
fn bind_others(
    config: &ListenerConfig,
    limits: &Limits,
    first: (TcpListener, SocketAddr),
    others: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<(TcpListener, SocketAddr)>, BindError> {
    let port = first.1.port();
    let mut bound = vec![first];
    for mut address in others {
        address.set_port(port);
        if bound.iter().any(|(_, known)| *known == address) {
            continue;
        }
        match bind_one(address, limits) {
            Ok(other) => bound.push(other),
            // Clients that resolve the host to this address would reach another program.
            Err(source) if config.port != 0 && source.kind() == ErrorKind::AddrInUse => {
                return Err(BindError::Bind {
                    listener: config.name.clone(),
                    address,
                    source,
                });
            }
            Err(error) => tracing::debug!(%address, "cannot listen on an address: {error}"),
        }
    }
    Ok(bound)
}

async fn addresses(config: &ListenerConfig) -> Result<Vec<SocketAddr>, BindError> {
    let host = config.host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        // All interfaces, and those of IPv6 where the system supports it.
        let all: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        return Ok(all
            .into_iter()
            .map(|ip| SocketAddr::new(ip, config.port))
            .collect());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, config.port)]);
    }
    match tokio::net::lookup_host((host, config.port)).await {
        Ok(addresses) => {
            let mut addresses: Vec<_> = addresses.collect();
            if is_localhost(config) {
                // A client may resolve the name to one that this machine's resolver leaves out.
                let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                addresses.extend(both.map(|ip| SocketAddr::new(ip, config.port)));
            }
            // The address of a listener at `localhost` is 127.0.0.1.
            addresses.sort_by_key(SocketAddr::is_ipv6);
            Ok(addresses)
        }
        Err(source) => Err(BindError::Resolve {
            listener: config.name.clone(),
            host: config.host.clone(),
            source,
        }),
    }
}

fn bind_one(address: SocketAddr, limits: &Limits) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    if let Some(bytes) = limits.receive_buffer_bytes {
        // Set before `listen`, so that accepted sockets announce a window of this size.
        socket.set_recv_buffer_size(bytes as usize)?;
    }
    if let Some(bytes) = limits.send_buffer_bytes {
        socket.set_send_buffer_size(bytes as usize)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(limits.backlog).unwrap_or(i32::MAX))?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
