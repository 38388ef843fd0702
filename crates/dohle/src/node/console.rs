//! The console: what the node shows to it, and the listener through which it sees the cluster.

use dohle_broker::partitions::ReplicaMetrics;
use dohle_model::record::SecurityProtocol;
use dohle_telemetry::{Collect as _, Sample, Value, mbeans};
use dohle_web::{ConsoleNode, ConsoleSettings, Traffic};
use futures::future::BoxFuture;

use crate::config::{ListenerAddress, NodeConfig, is_all_interfaces, is_loopback};

/// What the console sees of a node.
pub(super) struct Console {
    settings: ConsoleSettings,
    replicas: Option<ReplicaMetrics>,
}

impl Console {
    pub(super) fn new(config: &NodeConfig, replicas: Option<ReplicaMetrics>) -> Self {
        let settings = ConsoleSettings {
            node_id: config.node_id.0,
            version: env!("CARGO_PKG_VERSION"),
            bootstrap: bootstrap(config),
            authorizer: config.authorizer.is_some(),
        };
        Self { settings, replicas }
    }
}

/// Returns the address of a listener that serves clients without TLS and authentication. One that
/// only this machine reaches is not offered to browsers on others.
fn bootstrap(config: &NodeConfig) -> Result<String, String> {
    if !config.roles.broker {
        return Err(
            "This node is only a controller: open the console of a broker instead.".to_owned(),
        );
    }
    let listeners = &config.listeners;
    let is_local = |address: &ListenerAddress| is_loopback(&address.host);
    let is_page_local = config.http.listeners.iter().all(is_local);
    let may_be_used = |address: &&ListenerAddress| {
        let is_plain = listeners.protocol(&address.name) == SecurityProtocol::Plaintext;
        is_plain && address.port != 0 && (is_page_local || !is_local(address))
    };
    let found = listeners.broker.iter().find(may_be_used).ok_or(
        "The console needs a Kafka listener of this node without TLS and authentication \
         (PLAINTEXT), and there is none that it may use. It cannot log in yet. A listener that is \
         bound to localhost is used if http.listeners is bound to localhost, too.",
    )?;
    let host = match is_all_interfaces(&found.host) {
        true => "localhost",
        false => &found.host,
    };
    Ok(dohle_model::HostPort(host, found.port).to_string())
}

impl ConsoleNode for Console {
    fn console(&self) -> ConsoleSettings {
        self.settings.clone()
    }

    fn traffic(&self) -> BoxFuture<'_, Option<Traffic>> {
        let replicas = self.replicas.clone();
        Box::pin(async move {
            let replicas = replicas?;
            // Off the threads for control work: there may be many partitions.
            let read = tokio::task::spawn_blocking(move || traffic(&replicas));
            read.await.ok()
        })
    }
}

/// Reads the counters of all topics together.
fn traffic(replicas: &ReplicaMetrics) -> Traffic {
    let mut traffic = Traffic::default();
    replicas.collect(&mut |sample| {
        let Sample::Attribute {
            bean,
            attribute: "Count",
            value: Value::Long(count),
            ..
        } = sample
        else {
            return;
        };
        let count = u64::try_from(count).unwrap_or(0);
        if *bean == mbeans::BYTES_IN {
            traffic.bytes_in = count;
        } else if *bean == mbeans::BYTES_OUT {
            traffic.bytes_out = count;
        } else if *bean == mbeans::MESSAGES_IN {
            traffic.records_in = count;
        }
    });
    traffic
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
