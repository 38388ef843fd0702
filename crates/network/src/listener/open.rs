//! Opens an accepted socket: carries out the TLS handshake of listeners with TLS, and recognises
//! the protocol by the first bytes.

use std::time::Duration;

use dohle_protocol::Foreign;
use dohle_protocol::foreign::without_tls_advice;
use dohle_tls::{HandshakeFailure, ServerTls};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::stream::ListenerStream;
use super::{NetworkContext, prefixed};
use crate::connection::Client;

/// The TLS record that answers a request without TLS: a fatal alert, `handshake_failure`. Clients
/// recognize by it that the listener has TLS; Kafka's listeners send one, too.
const TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
/// How long, and for how many bytes, a peer may go on whose connection this node has ended.
const ENDED_MAX: (Duration, u64) = (Duration::from_secs(1), 64 << 10);

/// A socket after its first bytes.
pub(super) struct Opened {
    pub stream: ListenerStream,
    /// The protocol that the first bytes belong to; `None` for Kafka's.
    pub foreign: Option<Foreign>,
    /// Whether HTTP/2 may begin now or later: the peer has chosen it in the TLS handshake (ALPN),
    /// or the listener has no TLS.
    pub may_be_http2: bool,
}

/// Opens a socket, and adds to `client` whom its certificate identifies. Returns `None` when the
/// socket is to be closed: the reason was logged, unless the peer has sent nothing.
pub(super) async fn open(
    stream: TcpStream,
    client: &mut Client,
    shared: &NetworkContext,
    tls: Option<&ServerTls>,
) -> Option<Opened> {
    let idle_max = shared.limits.idle_max;
    let Some(tls) = tls else {
        let (stream, foreign) = prefixed::sniff(stream, idle_max).await?;
        return Some(Opened {
            stream: Either::Left(stream),
            foreign,
            may_be_http2: true,
        });
    };
    let handshake_max = shared.limits.handshake_max;
    let mut began = false;
    let handshake = async {
        let (stream, foreign) = prefixed::sniff(stream, handshake_max).await?;
        began = true;
        Some(match foreign {
            Some(Foreign::Tls) => tls.accept(stream).await,
            other => {
                end(stream, &TLS_ALERT).await;
                Err(HandshakeFailure::new(without_tls_advice(other)))
            }
        })
    };
    let accepted = match tokio::time::timeout(handshake_max, handshake).await {
        Ok(accepted) => accepted?,
        Err(_) if !began => return None,
        Err(_) => Err(HandshakeFailure::new(format!(
            "it did not complete the TLS handshake within {handshake_max:?}"
        ))),
    };
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(cause) => {
            shared.log_failure(client, &cause);
            return None;
        }
    };
    client.certificate_principal = accepted.principal;
    let is_http2 = accepted.is_http2;
    let (stream, foreign) = prefixed::sniff(accepted.stream, idle_max).await?;
    if foreign == Some(Foreign::Http2) && !is_http2 {
        shared.log_failure(client, &not_chosen());
        return None;
    }
    Some(Opened {
        stream: Either::Right(Box::new(stream)),
        foreign,
        may_be_http2: is_http2,
    })
}

/// Sends an answer, ends the connection, and waits until the peer has closed it, too: a connection
/// that is closed with bytes left to read is reset, and the peer may never read the answer, or take
/// the reset for a broken network.
pub(super) async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &[u8]) {
    let (time_max, bytes_max) = ENDED_MAX;
    let ended = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(bytes_max), &mut tokio::io::sink()).await
    };
    // A peer that has gone away needs no answer.
    drop(tokio::time::timeout(time_max, ended).await);
}

/// Why a peer is refused that speaks HTTP/2 and has not chosen it.
pub(super) fn not_chosen() -> HandshakeFailure {
    HandshakeFailure::new(
        "it speaks HTTP/2 and did not choose it in the TLS handshake (ALPN), as other nodes do",
    )
}
