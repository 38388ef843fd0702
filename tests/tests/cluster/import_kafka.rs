//! Dohle continues on the directories of a stopped cluster of Apache Kafka: `storage import-kafka`
//! takes over the metadata, and clients that kept running go on. A transaction that was open is
//! aborted by its next producer, and a delegation token is used for a login. Then Kafka continues
//! on the directories again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::member::{Flavour, Member};
use dohle_tests::clients::secure::Credentials;
use dohle_tests::cluster::CLUSTER_ID;
use dohle_tests::node::binary;
use dohle_tests::ports::free_port;
use dohle_tests::program::{Output, Program, Running};
use dohle_tests::{Cluster, until};

use crate::console_tools::ours;
use crate::hanging_transactions::Client;
use crate::security::delegation_tokens::{only_token, token};

const SETTLED: Duration = Duration::from_secs(180);
const LIMIT: Duration = Duration::from_secs(600);

/// Apache Kafka on the files of a cluster whose nodes are not started.
struct Kafka {
    nodes: Vec<Running>,
}

impl Kafka {
    /// Formats the first node with Kafka's tool. The others get copies; as with Kafka before 3.7,
    /// their directories have no id.
    fn format(cluster: &Cluster) -> Result<()> {
        let [first, others @ ..] = cluster.nodes() else {
            anyhow::bail!("no nodes");
        };
        java::class("kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(&first.properties)
            .run()?
            .ok()?;
        for node in others {
            std::fs::create_dir_all(&node.data)?;
            let name = "bootstrap.checkpoint";
            std::fs::copy(first.data.join(name), node.data.join(name))?;
            let identity = format!("version=1\ncluster.id={CLUSTER_ID}\nnode.id={}\n", node.id);
            std::fs::write(node.data.join("meta.properties"), identity)?;
        }
        Ok(())
    }

    fn start(cluster: &Cluster) -> Result<Self> {
        let start = |node: &dohle_tests::node::Node| {
            let server = java::class("kafka.Kafka").arg(&node.properties);
            server.limit(LIMIT).start()
        };
        let nodes: Vec<Running> = cluster.nodes().iter().map(start).collect::<Result<_>>()?;
        for node in cluster.nodes() {
            until(SETTLED, format!("Kafka's node {} is up", node.id), || {
                Ok(node.connect()?.live_brokers()?.len() == cluster.nodes().len())
            })?;
        }
        Ok(Self { nodes })
    }

    /// Stops the nodes one after another, so that their metadata end at different offsets. The last
    /// one is killed: without a majority Kafka waits for minutes before it stops.
    fn stop(mut self) -> Result<()> {
        let mut last = self.nodes.pop().context("no nodes")?;
        for node in self.nodes {
            node.terminate()?;
            node.finish()?;
        }
        last.kill()
    }

    /// Ends the nodes at once.
    fn kill(mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Running::kill)
    }
}

/// Adds a listener with SCRAM to the files of all nodes. Returns its addresses.
pub(super) fn add_scram_listener(cluster: &Cluster) -> Result<String> {
    let mut addresses = Vec::new();
    for node in cluster.nodes() {
        let address = format!("127.0.0.1:{}", free_port()?);
        let file = std::fs::read_to_string(&node.properties)?;
        let file = file
            .replace(
                ",CONTROLLER://",
                &format!(",USERS://{address},CONTROLLER://"),
            )
            .replace(
                "advertised.listeners=",
                &format!("advertised.listeners=USERS://{address},"),
            )
            .replace(
                "CONTROLLER:PLAINTEXT",
                "CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT",
            );
        std::fs::write(
            &node.properties,
            file + "listener.name.users.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
                    listener.name.users.scram-sha-512.sasl.jaas.config=\
                    org.apache.kafka.common.security.scram.ScramLoginModule required;\n",
        )?;
        addresses.push(address);
    }
    Ok(addresses.join(","))
}

fn bootstrap(cluster: &Cluster) -> String {
    let addresses = cluster.nodes().iter().map(|node| node.address.to_string());
    addresses.collect::<Vec<_>>().join(",")
}

fn import(dir: &Path, options: &[&str]) -> Result<Output> {
    Program::new(binary()?)
        .args(["storage", "import-kafka"])
        .arg(dir)
        .args(options)
        .run()
}

/// What administrators set up at Kafka: a tool, how it is called, and what with.
const SET_UP: &[(&str, &str, &str)] = &[
    (
        "topics",
        "--create --if-not-exists --partitions 6 --replication-factor 3 --topic orders",
        "--config retention.ms=123456789",
    ),
    (
        "topics",
        "--create --if-not-exists --partitions 3 --replication-factor 3 --topic state",
        "--config cleanup.policy=compact",
    ),
    (
        "topics",
        "--create --if-not-exists --partitions 1 --replication-factor 3 --topic copies",
        "--config min.insync.replicas=2",
    ),
    (
        "configs",
        "--alter --entity-type users --entity-name alice",
        "--add-config SCRAM-SHA-512=[iterations=4096,password=alice-secret]",
    ),
    (
        "configs",
        "--alter --entity-type users --entity-name alice",
        "--add-config producer_byte_rate=12345678",
    ),
    (
        "configs",
        "--alter --entity-type clients --entity-default",
        "--add-config consumer_byte_rate=87654321",
    ),
    (
        "configs",
        "--alter --entity-type brokers --entity-default",
        "--add-config log.cleaner.threads=2",
    ),
    (
        "configs",
        "--alter --entity-type groups --entity-name shipping",
        "--add-config consumer.session.timeout.ms=50000",
    ),
    (
        "acls",
        "--add --allow-principal User:alice",
        "--operation Read --topic orders",
    ),
    (
        "acls",
        "--add --deny-principal User:alice",
        "--operation Read --topic state",
    ),
];

/// What is asked before and after the move.
const ASKED: &[(&str, &str)] = &[
    ("topics", "--describe"),
    (
        "configs",
        "--describe --entity-type topics --entity-name orders",
    ),
    ("configs", "--describe --entity-type users"),
    (
        "configs",
        "--describe --entity-type clients --entity-default",
    ),
    (
        "configs",
        "--describe --entity-type brokers --entity-default",
    ),
    (
        "configs",
        "--describe --entity-type groups --entity-name shipping",
    ),
    ("acls", "--list"),
    ("get-offsets", "--time -1"),
    ("consumer-groups", "--describe --group resting"),
];

fn tool(bootstrap: &str, (name, line): (&str, &str)) -> Result<String> {
    let words: Vec<&str> = line.split(' ').collect();
    ours(name, bootstrap, &words)?.run()?.ok()
}

/// Returns what the cluster answers, without leaders and the replicas in sync.
fn answers(bootstrap: &str) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for asked in ASKED {
        let printed = tool(bootstrap, *asked)?;
        let lines = printed.lines().filter(|line| !line.contains("\tLeader: "));
        let mut lines: Vec<String> = lines
            .map(|line| format!("{}: {}", asked.1, sorted_configs(line.trim())))
            .collect();
        lines.sort_unstable();
        answers.extend(lines);
    }
    for topic in ["orders", "state"] {
        let format = "%p %o %k=%s\n";
        let arguments = ["-C", "-t", topic, "-e", "-q", "-f", format];
        let read = kcat(bootstrap, &arguments).run()?.ok()?;
        let mut records: Vec<&str> = read.lines().collect();
        records.sort_unstable();
        answers.push(format!("{} records of {topic}: {records:?}", records.len()));
    }
    Ok(answers)
}

/// Sorts the configurations in the description of a topic, which Kafka prints in the order of a
/// hash table.
fn sorted_configs(line: &str) -> String {
    let Some((before, configs)) = line.split_once("Configs: ") else {
        return line.to_owned();
    };
    let mut configs: Vec<&str> = configs.split(',').collect();
    configs.sort_unstable();
    format!("{before}Configs: {}", configs.join(","))
}

fn produce(bootstrap: &str, topic: &str, lines: impl Iterator<Item = String>) -> Result<()> {
    let arguments = ["-P", "-t", topic, "-K:", "-X", "acks=all"];
    let lines: String = lines.map(|line| line + "\n").collect();
    kcat(bootstrap, &arguments).input(lines).run()?.ok()?;
    Ok(())
}

fn orders(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("{number}:{number}"))
}

/// Waits until a member has read all orders below `end`. It may read some of them again after a
/// rebalance, and reads nothing else.
fn wait_for_orders(member: &mut Member, end: u32) -> Result<()> {
    until(SETTLED, format!("a member reads {end} orders"), || {
        let reads = member.reads()?.iter();
        let read: BTreeSet<u32> = reads
            .map(|read| Ok(read.value.parse()?))
            .collect::<Result<_>>()?;
        Ok(read == (0..end).collect())
    })
}

/// Runs a tool as a user, through the listener with SCRAM.
pub(super) fn tool_as(
    user: &Credentials,
    (cluster, users): (&Cluster, &str),
    (name, line): (&str, &str),
) -> Result<String> {
    let file = cluster.scratch().join("user.properties");
    std::fs::write(&file, user.command_config())?;
    let file = file.display().to_string();
    let words = [line.split(' ').collect(), vec!["--command-config", &file]].concat();
    ours(name, users, &words)?.run()?.clean()
}

/// Checks what the programs say to directories that were not imported, and imports them.
fn import_all(cluster: &Cluster) -> Result<()> {
    let first = &cluster.nodes()[0];
    let server = Program::new(binary()?)
        .arg("server")
        .arg(&first.properties)
        .run()?;
    let command = format!("dohle storage import-kafka {}", first.data.display());
    ensure!(server.code == 1, "{server}");
    ensure!(server.to_string().contains(&command), "{server}");

    let before = files(&first.data)?;
    let plan = import(&first.data, &["--dry-run"])?.clean()?;
    for expected in [
        "one of the controllers 1, 2, 3",
        "1 SCRAM credential",
        "1 delegation token",
        "2 ACLs",
        "2 quotas",
        "feature share.version at level 1: Dohle does not have it yet",
        "Nothing was written.",
    ] {
        ensure!(plan.contains(expected), "no {expected:?} in {plan}");
    }
    ensure!(files(&first.data)? == before, "a dry run changes nothing");
    // A file where the directory of the new log is to be.
    let blocked = first.data.join("__cluster_metadata-0/dohle");
    std::fs::write(&blocked, "")?;
    let failed = import(&first.data, &["--yes"])?;
    let causes = failed.to_string().matches("Not a directory").count();
    ensure!(failed.code == 1 && causes == 1, "{failed}");
    std::fs::remove_file(&blocked)?;
    for node in cluster.nodes() {
        let done = import(&node.data, &["--yes"])?.clean()?;
        ensure!(done.contains("The metadata are imported."), "{done}");
        let again = import(&node.data, &[])?.clean()?;
        ensure!(again.contains("were imported before"), "{again}");
    }
    let after = files(&first.data)?;
    for (path, content) in before {
        let now = after.iter().find(|(found, _)| *found == path);
        let unchanged = now.is_some_and(|(_, now)| *now == content);
        ensure!(unchanged, "{} has changed", path.display());
    }
    Ok(())
}

/// The files of a node's metadata, and its identity, with their content.
fn files(data: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = vec![data.join("meta.properties")];
    for entry in std::fs::read_dir(data.join("__cluster_metadata-0"))? {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    let read = |path: PathBuf| Ok((path.clone(), std::fs::read(path)?));
    found.into_iter().map(read).collect()
}

#[test]
fn dohle_continues_on_the_directories_of_a_kafka_cluster() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("group.min.session.timeout.ms", "1000")
        .property("offsets.topic.num.partitions", "3")
        .property("transaction.state.log.num.partitions", "3")
        .property("transaction.state.log.min.isr", "2")
        .property("auto.create.topics.enable", "false")
        .property(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .property("super.users", "User:ANONYMOUS")
        .property("delegation.token.secret.key", "secret-of-all-nodes")
        .prepare()?;
    let users = add_scram_listener(&cluster)?;
    Kafka::format(&cluster)?;
    let kafka = Kafka::start(&cluster)?;
    let bootstrap = bootstrap(&cluster);
    for (name, command, what) in SET_UP {
        tool(&bootstrap, (name, &format!("{command} {what}")))?;
    }
    produce(&bootstrap, "orders", orders(0..600))?;
    let updates = (0..1000).map(|number| format!("{}:{number}", number % 50));
    produce(&bootstrap, "state", updates)?;
    // A group without members, whose committed offsets stay as they are.
    tool(
        &bootstrap,
        (
            "consumer-groups",
            "--reset-offsets --group resting --topic orders --to-offset 7 --execute",
        ),
    )?;
    let mut classic = Member::start(Flavour::ConfluentRange, &bootstrap, "orders", "billing")?;
    let mut modern = Member::start(Flavour::ConfluentConsumer, &bootstrap, "orders", "shipping")?;
    wait_for_orders(&mut classic, 600)?;
    wait_for_orders(&mut modern, 600)?;
    let alice = Credentials::sasl("SCRAM-SHA-512", "alice", "alice-secret");
    let create = (
        "delegation-tokens",
        "--create --max-life-time-period 3600000",
    );
    let created = only_token(&tool_as(&alice, (&cluster, &users), create)?)?;
    let open = Client::init(&cluster, "carried", 0)?;
    open.add_partition()?;
    let (code, _) = open.write(0, "of a transaction that is open")?;
    ensure!(code == 0, "error {code}");
    let open = open.producer();
    let before = answers(&bootstrap)?;
    let resting = before.iter().filter(|line| line.contains(": resting "));
    let resting = resting.count();
    ensure!(resting == 6, "{resting} committed offsets are described");
    let running = import(&cluster.nodes()[0].data, &["--yes"])?;
    ensure!(running.code == 1, "{running}");
    ensure!(running.to_string().contains("is in use"), "{running}");
    kafka.stop()?;

    import_all(&cluster)?;
    cluster.start()?;
    let after = answers(&bootstrap)?;
    for (was, is) in before.iter().zip(&after) {
        ensure!(was == is, "before: {was}\nafter: {is}");
    }
    ensure!(before.len() == after.len(), "{before:?}\n{after:?}");
    produce(&bootstrap, "orders", orders(601..900))?;
    // Its next producer aborts the transaction that was open, and commits one. Until then readers
    // wait for its end.
    let next = Client::init(&cluster, "carried", 0)?;
    let known = next.producer();
    ensure!(
        known.id == open.id && known.epoch > open.epoch,
        "{known:?} {open:?}"
    );
    next.add_partition()?;
    ensure!(next.write(0, "600")?.0 == 0, "a record is refused");
    next.end(true)?;
    wait_for_orders(&mut classic, 900)?;
    wait_for_orders(&mut modern, 900)?;
    for user in [alice, token(&created)] {
        let visible = tool_as(&user, (&cluster, &users), ("topics", "--list"))?;
        ensure!(visible.trim() == "orders", "{visible}");
    }
    classic.leave().context("the classic member")?;
    modern
        .leave()
        .context("the member of the consumer protocol")?;

    let written = written(&bootstrap)?;
    cluster.stop()?;
    kafka_continues(&cluster, &written)
}

/// Returns what clients have written: the orders, and the committed offsets of all groups.
fn written(bootstrap: &str) -> Result<Vec<String>> {
    let arguments = ["-C", "-t", "orders", "-e", "-q", "-f", "%p %o %s\n"];
    let orders = kcat(bootstrap, &arguments).run()?.ok()?;
    let mut written: Vec<String> = orders.lines().map(str::to_owned).collect();
    written.sort_unstable();
    for group in ["billing", "shipping", "resting"] {
        let describe = format!("--describe --group {group}");
        written.push(tool(bootstrap, ("consumer-groups", &describe))?);
    }
    Ok(written)
}

/// Kafka continues on the directories after Dohle: it has what was written with Dohle, and takes
/// more.
fn kafka_continues(cluster: &Cluster, expected: &[String]) -> Result<()> {
    let bootstrap = bootstrap(cluster);
    let kafka = Kafka::start(cluster)?;
    until(SETTLED, "Kafka has what was written with Dohle", || {
        let found = written(&bootstrap)?;
        let missing = expected.iter().find(|line| !found.contains(line));
        ensure!(missing.is_none(), "missing: {missing:?}");
        Ok(found.len() == expected.len())
    })?;
    produce(&bootstrap, "orders", orders(900..901))?;
    kafka.kill()
}
