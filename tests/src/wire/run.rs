//! Sends the requests of scripts to a server.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::codec;
use super::names::Scope;
use super::recording::Answer;
use super::schema::{Message, Schemas};
use super::script::{Capture, Change, Script, Sequence, Server, Step, Until, call};
use crate::connection::KafkaConnection;
use crate::wait::{DEADLINE, eventually};

/// What stands in a recording where a server closed the connection instead of answering.
pub const CLOSED: &str = "<closes the connection>";

/// What stands in a recording where a server neither answers nor closes the connection.
pub const SILENT: &str = "<does not answer>";

/// Errors that pass by themselves: while topics are created, coordinators load and transactions
/// end.
const PASSING: [i64; 7] = [3, 5, 6, 14, 15, 16, 51];

/// The APIs that are called besides those of the scripts.
pub const OWN_CALLS: [&str; 6] = [
    "CreateTopics",
    "FindCoordinator",
    "InitProducerId",
    "ListOffsets",
    "Metadata",
    "OffsetFetch",
];

/// What a script made of a server.
#[derive(Debug, Default)]
pub struct Answers {
    /// The answers of cases.
    pub answers: Vec<Answer>,
    /// Sequences that ended early: `sequence vN: why`.
    pub failed: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// How long an answer may take. Nothing that is sent asks a server to wait.
    pub answer_limit: Duration,
}

/// Connections to the nodes of a server, which are opened anew when a node has closed them.
#[derive(Debug)]
pub struct Client<'a> {
    schemas: &'a Schemas,
    targets: Vec<Target>,
    /// The node that requests go to, from 0.
    node: usize,
    connections: BTreeMap<usize, KafkaConnection>,
    correlation_id: i32,
}

/// A topic that all sequences of a server share: its name and id.
pub type SharedTopic = (&'static str, String);

/// Waits until both coordinators of a new server serve.
pub fn warm_up(schemas: &Schemas, target: Target) -> Result<()> {
    let mut client = Client::new(schemas, target);
    let mut scope = Scope::new(String::new());
    let transactional = json!({"TransactionalId": "first", "TransactionTimeoutMs": 60000});
    let groups = json!([{"GroupId": "first", "Topics": []}]);
    let coordinator = |kind: i8| json!({"CoordinatorKeys": ["first"], "KeyType": kind});
    // A coordinator is asked for first, which creates its topic.
    let steps = [
        call("FindCoordinator", 4, coordinator(1)),
        call("FindCoordinator", 4, coordinator(0)),
        call("InitProducerId", 4, transactional),
        call("OffsetFetch", 8, json!({"Groups": groups})),
    ];
    for step in &steps {
        client.prepare(&mut scope, step)?;
    }
    Ok(())
}

/// Creates the topics that all sequences of a server share, with these brokers as replicas of their
/// one partition, and takes some steps.
pub fn prepare_shared(
    schemas: &Schemas,
    targets: &[Target],
    topics: &[(&'static str, Vec<i32>)],
    steps: &[Step],
) -> Result<Vec<SharedTopic>> {
    let mut client = Client::of(schemas, targets);
    let mut scope = Scope::new(String::new());
    let created = topics.iter().map(|(name, replicas)| {
        let assignment = json!([{"PartitionIndex": 0, "BrokerIds": replicas}]);
        created(name, -1, &assignment)
    });
    client.create(&mut scope, created.collect())?;
    let mut shared = Vec::new();
    for (name, _) in topics {
        shared.push((*name, client.led(&scope, name, 1)?));
    }
    client.prepare_all(&mut scope, &shared, steps)?;
    Ok(shared)
}

/// Takes some steps on a server with shared topics.
pub fn prepare(
    schemas: &Schemas,
    targets: &[Target],
    shared: &[SharedTopic],
    steps: &[Step],
) -> Result<()> {
    let mut scope = Scope::new(String::new());
    Client::of(schemas, targets).prepare_all(&mut scope, shared, steps)
}

/// Sends the sequences of a script that are for this kind of server.
pub fn run(
    schemas: &Schemas,
    targets: &[Target],
    shared: &[SharedTopic],
    script: &Script,
    server: Server,
) -> Answers {
    let mut client = Client::of(schemas, targets);
    let mut found = Answers::default();
    for sequence in script.sequences.iter().filter(|it| it.server == server) {
        if let Err(error) = client.sequence(script, sequence, shared, &mut found.answers) {
            let Sequence { name, version, .. } = sequence;
            let api = script.api;
            let failed = format!("{api} v{version} {name}: {error:#}");
            eprintln!("{failed}");
            found.failed.push(failed);
            client.connections.clear();
        }
    }
    found
}

impl<'a> Client<'a> {
    /// Returns a client, which connects with its first request.
    pub fn new(schemas: &'a Schemas, target: Target) -> Self {
        Self::of(schemas, &[target])
    }

    /// Returns a client of several nodes, whose requests go to the first one.
    pub fn of(schemas: &'a Schemas, targets: &[Target]) -> Self {
        Self {
            schemas,
            targets: targets.to_vec(),
            node: 0,
            connections: BTreeMap::new(),
            correlation_id: 0,
        }
    }

    /// Sends a request, and returns its answer.
    ///
    /// # Errors
    /// When there is none, or it cannot be decoded.
    pub fn call(&mut self, api: &str, version: i16, request: &Value) -> Result<Value> {
        let answer = self.send(api, version, request, Change::None)?;
        ensure!(answer.is_object(), "{api} v{version}: {answer}");
        Ok(answer)
    }

    fn sequence(
        &mut self,
        script: &Script,
        sequence: &Sequence,
        shared: &[SharedTopic],
        answers: &mut Vec<Answer>,
    ) -> Result<()> {
        let Sequence { name, version, .. } = sequence;
        let words = name.replace([' ', ','], "-");
        let mut scope = Scope::new(format!(".{}-{words}.v{version:02}", script.api));
        self.node = 0;
        for (name, id) in shared {
            scope.topic(name, id);
        }
        self.create_topics(&mut scope, sequence)?;
        for step in &sequence.steps {
            let Step::Case {
                name: case,
                request,
                change,
                captures,
            } = step
            else {
                self.prepare(&mut scope, step)?;
                continue;
            };
            let filled = scope.fill(request)?;
            let response = self
                .send(script.api, *version, &filled, *change)
                .with_context(|| (*case).to_owned())?;
            let normalised = scope.normalise(&response, script.unordered);
            answers.push(Answer {
                case: format!("{name}/{case}"),
                version: *version,
                request: request.clone(),
                response: normalised,
            });
            capture(&mut scope, &response, captures).with_context(|| (*case).to_owned())?;
        }
        Ok(())
    }

    fn create_topics(&mut self, scope: &mut Scope, sequence: &Sequence) -> Result<()> {
        if sequence.topics.is_empty() {
            return Ok(());
        }
        let topics = sequence.topics.iter();
        let topics =
            topics.map(|(name, partitions)| created(&format!("{name}%"), *partitions, &json!([])));
        self.create(scope, topics.collect())?;
        for (name, partitions) in &sequence.topics {
            let topic = format!("{name}%");
            let id = self.led(scope, &topic, *partitions)?;
            scope.topic(name, &id);
            // Metadata comes before the partitions serve.
            let served =
                (0..*partitions).map(|index| json!({"PartitionIndex": index, "Timestamp": -1}));
            let topics = json!([{"Name": topic, "Partitions": served.collect::<Vec<_>>()}]);
            let request = json!({"ReplicaId": -1, "Topics": topics});
            self.prepare(scope, &call("ListOffsets", 5, request))?;
        }
        Ok(())
    }

    fn create(&mut self, scope: &mut Scope, topics: Vec<Value>) -> Result<()> {
        let request = json!({ "Topics": topics, "timeoutMs": 30000 });
        self.prepare(scope, &call("CreateTopics", 7, request))
    }

    /// Waits until all partitions of a topic have leaders. Returns the topic's id.
    fn led(&mut self, scope: &Scope, topic: &str, partitions: i32) -> Result<String> {
        let request = json!({"Topics": [{"Name": topic}], "AllowAutoTopicCreation": false});
        let request = scope.fill(&request)?;
        eventually(DEADLINE, format!("{topic} has leaders"), || {
            let response = self.send("Metadata", 12, &request, Change::None)?;
            let topic = &response["Topics"][0];
            let found = topic["Partitions"].as_array().context("no partitions")?;
            let led = found.iter().filter(|it| it["LeaderId"].as_i64() > Some(-1));
            let is_ready = led.count() == usize::try_from(partitions)?;
            Ok(topic["TopicId"]
                .as_str()
                .filter(|_| is_ready)
                .map(str::to_owned))
        })
    }

    fn prepare_all(
        &mut self,
        scope: &mut Scope,
        shared: &[SharedTopic],
        steps: &[Step],
    ) -> Result<()> {
        for (name, id) in shared {
            scope.topic(name, id);
        }
        steps.iter().try_for_each(|step| self.prepare(scope, step))
    }

    /// Repeats a preparation until its answer is as wanted.
    ///
    /// # Errors
    /// When it never is.
    pub fn prepare(&mut self, scope: &mut Scope, step: &Step) -> Result<()> {
        if let Step::Node(node) = step {
            self.node = usize::try_from(node - 1)?;
            return Ok(());
        }
        let Step::Call {
            api,
            version,
            request,
            until,
            captures,
        } = step
        else {
            bail!("a case prepares nothing");
        };
        let filled = scope.fill(request)?;
        let what = format!("the answer to {api} v{version} {filled}");
        let response = eventually(DEADLINE, &what, || {
            let response = self.send(api, *version, &filled, Change::None)?;
            Ok(match until {
                Until::NoError => {
                    let errors = errors(&response);
                    let ends = errors.iter().all(|code| !PASSING.contains(code));
                    ensure!(ends, "{response}");
                    Some(response)
                }
                Until::Field(path, value) => {
                    let found = at(&response, path).is_some_and(|found| found == value);
                    ensure!(found, "{response}");
                    Some(response)
                }
            })
        })?;
        if let Until::NoError = until {
            let none = errors(&response).is_empty() && response.is_object();
            ensure!(none, "{what} is {response}");
        }
        capture(scope, &response, captures)
    }

    /// Sends a request and returns its answer, or [`CLOSED`].
    fn send(&mut self, api: &str, version: i16, request: &Value, change: Change) -> Result<Value> {
        let message = self.schemas.request(api)?;
        let mut body = codec::encode(message, version, request)
            .with_context(|| format!("encode {api} v{version}"))?;
        match change {
            Change::None => {}
            Change::Cut => {
                body.pop();
            }
            Change::Extra => body.push(0),
            // The body ends with the number of its tagged fields.
            Change::Tagged if message.flexible.contains(version) => {
                body.pop();
                body.extend([1, 99, 1, 0]);
            }
            Change::Tagged | Change::BareHeader | Change::ClientId => {}
        }
        self.correlation_id += 1;
        let frame = frame(message, version, self.correlation_id, &body, change)?;
        let mut connection = match self.connections.remove(&self.node) {
            Some(connection) => connection,
            None => {
                let target = self.targets.get(self.node).context("no such node")?;
                let mut connection = KafkaConnection::open(target.address)?;
                connection.limit(target.answer_limit)?;
                connection
            }
        };
        let answer = match connection.send(&frame) {
            Ok(()) => connection.receive(),
            Err(_) => Ok(None),
        };
        let answer = match answer {
            Err(error) if is_timeout(&error) => return Ok(json!(SILENT)),
            answer => answer?,
        };
        let Some(answer) = answer else {
            return Ok(json!(CLOSED));
        };
        self.connections.insert(self.node, connection);
        self.decode(api, version, answer)
            .with_context(|| format!("decode the response of {api} v{version}"))
    }

    fn decode(&self, api: &str, version: i16, answer: Bytes) -> Result<Value> {
        let message = self.schemas.response(api)?;
        let (id, mut body) = answer.split_at_checked(4).context("no correlation id")?;
        ensure!(
            *id == self.correlation_id.to_be_bytes(),
            "the response has the correlation id {id:?}, not {}",
            self.correlation_id
        );
        // The header of ApiVersions is the same in all versions, so that every client can read it.
        if message.flexible.contains(version) && api != "ApiVersions" {
            body = body.strip_prefix(&[0]).context("the header has tags")?;
        }
        codec::decode(message, version, body)
    }
}

fn is_timeout(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|it| matches!(it.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// Returns a topic of CreateTopics: with this number of partitions, or with an assignment.
fn created(name: &str, partitions: i32, assignments: &Value) -> Value {
    // The records of scripts are old.
    let configs = json!([{"Name": "retention.ms", "Value": "-1"}]);
    let replication_factor = if partitions < 0 { -1 } else { 1 };
    json!({"Name": name, "NumPartitions": partitions, "ReplicationFactor": replication_factor,
        "Assignments": assignments, "Configs": configs})
}

/// Returns a whole request: length, header, body.
fn frame(
    message: &Message,
    version: i16,
    correlation_id: i32,
    body: &[u8],
    change: Change,
) -> Result<Vec<u8>> {
    let client = match change {
        Change::ClientId => b"w\xefre",
        _ => b"wire",
    };
    let mut bytes = vec![0; 4];
    bytes.extend(message.api_key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation_id.to_be_bytes());
    bytes.extend(i16::try_from(client.len())?.to_be_bytes());
    bytes.extend(client);
    if message.flexible.contains(version) && change != Change::BareHeader {
        bytes.push(0);
    }
    bytes.extend(body);
    let length = i32::try_from(bytes.len() - 4)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

fn capture(scope: &mut Scope, response: &Value, captures: &[Capture]) -> Result<()> {
    for (name, path) in captures {
        let value = at(response, path).with_context(|| format!("no {path} in {response}"))?;
        scope.capture(name, value.clone());
    }
    Ok(())
}

/// Returns the value at a path of names and indexes with dots between them.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    parts.try_fold(value, |value, part| match part.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => value.get(part),
    })
}

/// Returns all error codes of a response but 0.
pub fn errors(response: &Value) -> Vec<i64> {
    match response {
        Value::Array(items) => items.iter().flat_map(errors).collect(),
        Value::Object(fields) => {
            let of_field = |(name, value): (&String, &Value)| match value.as_i64() {
                Some(code) if name.ends_with("ErrorCode") && code != 0 => vec![code],
                _ => errors(value),
            };
            fields.iter().flat_map(of_field).collect()
        }
        _ => Vec::new(),
    }
}
