//! Authenticates other nodes on a listener of controllers with SASL. No other request of Kafka's
//! protocol is served there.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::image::MetadataImage;
use dohle_network::connection::{
    self, Authenticated, Client, Malformed, MemoryPermit, Pending, ResponseAction,
};
use dohle_protocol::FrameSizes;

use super::decode_header;
use super::sasl::{Accounts, Sasl, SaslConfig, SaslStage};
use crate::token_credentials::DelegationTokens;

/// Returns the metadata whose SCRAM credentials hold now.
type Images = Arc<dyn Fn() -> Arc<MetadataImage> + Send + Sync>;

/// Authenticates the clients of listeners whose only clients are other nodes.
pub struct NodeAuthentication {
    sasl: Arc<Sasl>,
    images: Images,
}

impl NodeAuthentication {
    /// Authenticates by this configuration, and by the SCRAM credentials of the metadata that
    /// `images` returns.
    pub fn new(
        sasl: Arc<SaslConfig>,
        images: impl Fn() -> Arc<MetadataImage> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            sasl: Sasl::new(sasl),
            images: Arc::new(images),
        })
    }
}

impl fmt::Debug for NodeAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeAuthentication").finish_non_exhaustive()
    }
}

impl connection::Service for NodeAuthentication {
    fn connect(&self, client: &Client) -> Box<dyn connection::ConnectionHandler> {
        Box::new(NodeHandler {
            stage: SaslStage::new(&self.sasl, client),
            images: Arc::clone(&self.images),
            delegation_tokens: DelegationTokens::new(None),
        })
    }
}

struct NodeHandler {
    /// `None` on a listener without SASL.
    stage: Option<SaslStage>,
    images: Images,
    /// None: a token acts for a client.
    delegation_tokens: DelegationTokens,
}

impl connection::ConnectionHandler for NodeHandler {
    fn call(&mut self, mut frame: Bytes, _: MemoryPermit) -> Result<Pending, Malformed> {
        let Some(stage) = self.stage.as_mut() else {
            return Ok(refuse());
        };
        let accounts = || Accounts {
            image: (self.images)(),
            delegation_tokens: &self.delegation_tokens,
        };
        if stage.expects_bare_token() {
            return Ok(stage.on_bare_token(&frame, &accounts()));
        }
        let header = decode_header(&mut frame)?;
        let answer = stage.on_request(&header, &frame, accounts);
        let answer = answer.map_err(|reason| Malformed {
            api: format!("{:?}", header.key),
            version: header.version,
            reason,
        })?;
        Ok(answer.unwrap_or_else(refuse))
    }

    fn frame_sizes(&self, configured: FrameSizes) -> FrameSizes {
        let stage = self.stage.as_ref();
        stage.map_or(configured, |stage| stage.frame_sizes(configured))
    }

    fn may_become_node(&self) -> Option<Authenticated> {
        self.stage.as_ref()?.node()
    }
}

fn refuse() -> Pending {
    let reason = "this listener does not serve Kafka's client protocol; connect to a listener of a \
                  broker";
    Pending {
        answer: Box::pin(std::future::ready(ResponseAction::Close(reason.to_owned()))),
        pipelined: false,
        tag: None,
    }
}
