//! Recognises peers that do not speak Kafka's protocol by the first bytes of a connection, so that
//! the log can explain what was sent to the wrong port.
//!
//! Invariant: no legal Kafka frame is taken for another protocol. Read as a frame's length, each of
//! these beginnings is over 300 MiB, far beyond `socket.request.max.bytes`.

/// The number of first bytes that [`Foreign::recognise`] needs.
pub const SNIFF_BYTES: usize = 4;

/// A protocol that is not Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// HTTP/2 with prior knowledge: Dohle's own brokers (gRPC) begin like this.
    Http2,
    /// An HTTP/1 request: a browser, curl, a health check or a metrics scraper.
    Http1,
    /// A TLS hello: a client with `security.protocol=SSL` at a plaintext listener.
    Tls,
    /// SSH.
    Ssh,
}

impl Foreign {
    /// Recognises a protocol by the first [`SNIFF_BYTES`] of a connection.
    #[must_use]
    pub fn recognise(first: [u8; SNIFF_BYTES]) -> Option<Self> {
        match &first {
            b"PRI " => Some(Self::Http2),
            b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"CONN" | b"PATC"
            | b"TRAC" => Some(Self::Http1),
            b"SSH-" => Some(Self::Ssh),
            // A handshake record (22) of TLS 1.0 to 1.3, all of which have a record version 3.x.
            [22, 3, 0..=4, _] => Some(Self::Tls),
            _ => None,
        }
    }

    /// Describes what the peer seems to be, and what its owner should do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Http2 => {
                "it speaks HTTP/2 (gRPC), which only the inter-broker listener answers: check \
                 inter.broker.listener.name on all brokers"
            }
            Self::Http1 => {
                "it sent an HTTP request to a Kafka listener: a browser, a health check or a \
                 metrics scraper has the wrong port"
            }
            Self::Tls => {
                "it sent a TLS hello to a listener without TLS: set security.protocol=PLAINTEXT \
                 in the client, or use the port of a TLS listener"
            }
            Self::Ssh => "it speaks SSH: a client is configured with the wrong port",
        }
    }
}

/// Describes what a peer seems to be that began a connection to a listener with TLS without TLS,
/// and what its owner should do. `foreign` is `None` for Kafka's protocol, or an unknown one.
#[must_use]
pub const fn without_tls_advice(foreign: Option<Foreign>) -> &'static str {
    match foreign {
        Some(Foreign::Http2) => {
            "another node connected without TLS to a listener with TLS: check \
             inter.broker.listener.name, security.inter.broker.protocol and \
             listener.security.protocol.map on all nodes"
        }
        Some(other) => other.advice(),
        None => {
            "it sent a request without TLS to a listener with TLS: set security.protocol=SSL, or \
             SASL_SSL, in the client, or use the port of a listener without TLS"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_peers_are_recognised_by_their_first_bytes() {
        assert_eq!(Foreign::recognise(*b"PRI "), Some(Foreign::Http2));
        assert_eq!(Foreign::recognise(*b"GET "), Some(Foreign::Http1));
        assert_eq!(Foreign::recognise([22, 3, 1, 2]), Some(Foreign::Tls));
        assert_eq!(Foreign::recognise(*b"SSH-"), Some(Foreign::Ssh));
    }

    #[test]
    fn lengths_of_kafka_frames_are_not_foreign() {
        for length in [10_u32, 1 << 10, 1 << 20, 100 << 20, 300 << 20] {
            assert_eq!(Foreign::recognise(length.to_be_bytes()), None, "{length}");
        }
    }
}
