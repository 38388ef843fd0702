//! Requests as data: what is sent in which order, whatever the server. Pure.

use std::ops::RangeInclusive;

use serde_json::Value;

/// The requests about one API.
#[derive(Debug)]
pub struct Script {
    /// The API.
    pub api: &'static str,
    /// Lists in its responses that Kafka fills from hash tables.
    pub unordered: &'static [&'static str],
    /// The sequences, in the order they are sent in.
    pub sequences: Vec<Sequence>,
}

/// Requests that build on each other. They share names and values with no other sequence.
#[derive(Debug)]
pub struct Sequence {
    /// Its name.
    pub name: &'static str,
    /// The version of the API in its cases.
    pub version: i16,
    /// The server that it needs.
    pub server: Server,
    /// Topics to create: their names, to which the sequence's suffix is added, and partitions.
    pub topics: Vec<(&'static str, i32)>,
    /// What is sent.
    pub steps: Vec<Step>,
}

/// How a server is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// With defaults, apart from [`COMMON`].
    Plain,
    /// One whose features the sequences change.
    Features,
    /// With versions that are not stable.
    Unstable,
    /// With versions that are not stable, and two-phase commit.
    TwoPhase,
    /// With an authorizer, of which the clients of the scripts are super users.
    Authorizer,
    /// One that creates topics that requests for metadata name. It has no internal topics at first.
    AutomaticTopics,
    /// Three nodes.
    Three,
    /// Three nodes, the third of which was killed.
    TwoOfThree,
}

/// `telemetry.max.bytes` of all servers, which is small because recordings have the requests.
pub const TELEMETRY_BYTES_MAX: usize = 100;

/// What all servers are configured with: one partition of each internal topic, on the one node.
const COMMON: [(&str, &str); 8] = [
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("auto.create.topics.enable", "false"),
    ("telemetry.max.bytes", "100"),
];

impl Server {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::Features,
        Self::Unstable,
        Self::TwoPhase,
        Self::Authorizer,
        Self::AutomaticTopics,
        Self::Three,
        Self::TwoOfThree,
    ];

    /// Returns how many nodes it has.
    pub fn nodes(self) -> usize {
        match self {
            Self::Three | Self::TwoOfThree => 3,
            _ => 1,
        }
    }

    /// Returns the properties.
    pub fn properties(self) -> Vec<(&'static str, &'static str)> {
        let mut properties = COMMON.to_vec();
        if matches!(self, Self::Unstable | Self::TwoPhase) {
            properties.push(("unstable.api.versions.enable", "true"));
        }
        if self == Self::TwoPhase {
            properties.push(("transaction.two.phase.commit.enable", "true"));
        }
        if self == Self::Authorizer {
            let class = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
            properties.push(("authorizer.class.name", class));
            properties.push(("super.users", "User:ANONYMOUS"));
        }
        if self == Self::AutomaticTopics {
            properties.retain(|(name, _)| *name != "auto.create.topics.enable");
            properties.push(("auto.create.topics.enable", "true"));
        }
        if self.nodes() > 1 {
            // A killed node is noticed soon.
            properties.push(("broker.session.timeout.ms", "3000"));
            properties.push(("broker.heartbeat.interval.ms", "500"));
        }
        properties
    }
}

/// A request.
#[derive(Debug, Clone)]
pub enum Step {
    /// One whose answer is recorded.
    Case {
        /// Its name in the sequence.
        name: &'static str,
        /// Its fields.
        request: Value,
        /// What is changed in its bytes.
        change: Change,
        /// Values of the response for later requests: name and path.
        captures: Vec<Capture>,
    },
    /// One that prepares others, and is repeated until its answer is as wanted.
    Call {
        /// The API.
        api: &'static str,
        /// The version.
        version: i16,
        /// Its fields.
        request: Value,
        /// The answer that is waited for.
        until: Until,
        /// Values of the response for later requests: name and path.
        captures: Vec<Capture>,
    },
    /// All following steps of the sequence go to this node, and not to the first one.
    Node(i32),
}

/// A value of a response for later requests: its name, and its path in the response.
pub type Capture = (&'static str, &'static str);

/// What is changed in the bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The last byte is missing.
    Cut,
    /// A byte follows.
    Extra,
    /// A tagged field that no version has, where the version has tagged fields.
    Tagged,
    /// The header has no tagged fields, also where the version has them.
    BareHeader,
    /// The client's id is not UTF-8.
    ClientId,
}

/// The answer that a preparation waits for.
#[derive(Debug, Clone)]
pub enum Until {
    /// One without an error; errors that do not pass by themselves end the sequence.
    NoError,
    /// One with this value at this path.
    Field(&'static str, Value),
}

/// Returns a case.
pub fn case(name: &'static str, request: Value) -> Step {
    Step::Case {
        name,
        request,
        change: Change::None,
        captures: Vec::new(),
    }
}

/// Returns a preparation that is to succeed.
pub fn call(api: &'static str, version: i16, request: Value) -> Step {
    Step::Call {
        api,
        version,
        request,
        until: Until::NoError,
        captures: Vec::new(),
    }
}

impl Step {
    /// Keeps values of the response for later requests.
    pub fn capture(mut self, more: &[Capture]) -> Self {
        if let Self::Case { captures, .. } | Self::Call { captures, .. } = &mut self {
            captures.extend(more);
        }
        self
    }

    /// Changes the bytes of a case.
    pub fn changed(mut self, to: Change) -> Self {
        if let Self::Case { change, .. } = &mut self {
            *change = to;
        }
        self
    }
}

/// Returns the same sequence for each of these versions.
pub fn each(
    name: &'static str,
    versions: RangeInclusive<i16>,
    topics: &[(&'static str, i32)],
    steps: impl Fn(i16) -> Vec<Step>,
) -> Vec<Sequence> {
    let sequence = |version| Sequence {
        name,
        version,
        server: Server::Plain,
        topics: topics.to_vec(),
        steps: steps(version),
    };
    versions.map(sequence).collect()
}

/// Returns requests with broken bytes in each version, and with versions around those that are
/// served.
pub fn around(versions: RangeInclusive<i16>, request: &Value) -> Vec<Sequence> {
    let outside = [versions.start() - 1, versions.end() + 1];
    let bytes = |_| {
        vec![
            case("a byte is missing", request.clone()).changed(Change::Cut),
            case("a byte follows", request.clone()).changed(Change::Extra),
        ]
    };
    let mut sequences = each("bytes", versions, &[], bytes);
    for version in outside {
        let steps = |_| vec![case("a version that is not served", request.clone())];
        sequences.extend(each("versions", version..=version, &[], steps));
    }
    sequences
}

/// Returns requests with unusual headers and tagged fields in each version.
pub fn frames(versions: RangeInclusive<i16>, request: &Value) -> Vec<Sequence> {
    let changed = |_| {
        vec![
            case("a tagged field that is not known", request.clone()).changed(Change::Tagged),
            case("a header without tagged fields", request.clone()).changed(Change::BareHeader),
            case("a client id that is not UTF-8", request.clone()).changed(Change::ClientId),
        ]
    };
    each("frames", versions, &[], changed)
}

/// Returns the sequences on a server of another kind.
pub fn on(server: Server, mut sequences: Vec<Sequence>) -> Vec<Sequence> {
    for sequence in &mut sequences {
        sequence.server = server;
    }
    sequences
}
