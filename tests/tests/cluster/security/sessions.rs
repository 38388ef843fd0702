//! Sessions between nodes that end (KIP-368): nodes connect and authenticate again, and clients do
//! not notice.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::producer::Producer;
use dohle_tests::private::write_private;
use dohle_tests::replicas::assert_identical;
use dohle_tests::wait::{DEADLINE, until};

use super::Secured;
use super::nodes::{SCRAM, format};
use super::oauthbearer::Provider;

const TOKENS: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
/// The default filter, and the line about each session that has ended.
const LOG: &str = "info,openraft=off,sled=warn,h2=warn,hyper=warn,tonic=warn,tower=warn,\
                   dohle_network::listener=debug";
/// How many sessions end on each listener of each node while records are produced.
const SESSIONS: usize = 4;
const PARTITIONS: i32 = 3;

/// The properties of nodes whose sessions end after a short time: controllers authenticate each
/// other with SCRAM, and brokers with tokens.
fn properties(files: &Path) -> Result<String> {
    let provider = Provider::new()?;
    std::fs::write(files.join("jwks.json"), provider.jwks())?;
    let token = provider.token_of("node", "ES256", 3600)?;
    write_private(files.join("token"), token)?;
    Ok(format!(
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,NODES:SASL_SSL,CONTROLLER:SASL_SSL\n\
         listener.name.nodes.ssl.client.auth=none\n\
         listener.name.controller.ssl.client.auth=none\n\
         listener.name.controller.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         sasl.mechanism.controller.protocol=SCRAM-SHA-512\n\
         listener.name.controller.scram-sha-512.sasl.jaas.config={SCRAM} required \
         username=\"node\" password=\"node-secret\";\n\
         listener.name.nodes.sasl.enabled.mechanisms=OAUTHBEARER\n\
         sasl.mechanism.inter.broker.protocol=OAUTHBEARER\n\
         listener.name.nodes.oauthbearer.sasl.jaas.config={TOKENS} required;\n\
         sasl.oauthbearer.jwks.endpoint.url=file://{files}/jwks.json\n\
         sasl.oauthbearer.token.endpoint.url=file://{files}/token\n\
         sasl.oauthbearer.expected.audience=dohle\n\
         connections.max.reauth.ms=1500\n\
         early.start.listeners=CONTROLLER\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:node\n",
        files = files.display(),
    ))
}

/// Returns whether enough sessions have ended on both listeners of each node.
fn have_ended(cluster: &Cluster) -> Result<bool> {
    for node in cluster.nodes() {
        let log = node.log()?;
        for listener in ["NODES", "CONTROLLER"] {
            let ended = log.lines().filter(|line| {
                line.contains("its session has expired")
                    && line.contains(&format!("listener={listener}"))
            });
            let ended = ended.count();
            ensure!(ended >= SESSIONS, "{ended} on {listener} of {}", node.id);
        }
    }
    Ok(true)
}

#[test]
fn controllers_with_scram_and_brokers_with_tokens_go_on_when_their_sessions_end() -> Result<()> {
    let builder = Cluster::of(3)
        .property("min.insync.replicas", "2")
        .environment("DOHLE_LOG", LOG);
    let mut secured = Secured::prepare(builder, &[], |files, _| properties(files))?;
    format(&secured.cluster)?;
    secured.cluster.start()?;
    let cluster = &mut secured.cluster;
    cluster.create_topic("t", PARTITIONS, 3, &[])?;
    let bootstrap = cluster.bootstrap();
    let mut producer = Producer::start(&bootstrap, "t", PARTITIONS, 10)?;
    until(DEADLINE, "sessions of all nodes have ended", || {
        // Fails when a record is given up.
        producer.acknowledged()?;
        have_ended(cluster)
    })?;
    // The controllers still agree on changes.
    cluster.create_topic("later", 1, 3, &[])?;
    let acknowledged = producer.stop()?;
    ensure!(!acknowledged.is_empty(), "no record was acknowledged");
    let consume = ["-C", "-t", "t", "-o", "beginning", "-e", "-q"];
    let consume = kcat(&bootstrap, &consume).args(["-f", "%p %o %s\\n"]);
    let consumed = consume.run()?.ok()?;
    let mut kept = BTreeMap::new();
    for line in consumed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [partition, offset, number] = words[..] else {
            anyhow::bail!("{line:?}");
        };
        let at = (partition.parse()?, offset.parse()?);
        kept.insert(at, number.parse().context("a number")?);
    }
    ensure!(
        kept == acknowledged,
        "{} of {} records",
        kept.len(),
        acknowledged.len()
    );
    cluster.wait_in_sync("t")?;
    cluster.stop()?;
    assert_identical(cluster, "t")?;
    let logs = secured.logs()?;
    ensure!(!logs.contains("-secret"), "the log has a password");
    Ok(())
}
