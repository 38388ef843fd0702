//! Hosts with ports as text.

use std::fmt;

/// Writes a host and a port as `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort<'a>(
    /// A name or an IP address, with or without brackets.
    pub &'a str,
    /// The port.
    pub u16,
);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') && !host.starts_with('[') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_written_in_brackets_once() {
        assert_eq!(HostPort("one", 9092).to_string(), "one:9092");
        assert_eq!(HostPort("::1", 9092).to_string(), "[::1]:9092");
        assert_eq!(HostPort("[::1]", 9092).to_string(), "[::1]:9092");
        assert_eq!(HostPort("", 0).to_string(), ":0");
    }
}
