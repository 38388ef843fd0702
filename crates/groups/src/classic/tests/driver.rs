//! Runs a script against a shard, and prints the effects of each line.
//!
//! The commands, of a client that is called `a` (its member ids are `a-01`, `a-02`, …):
//!
//! ```text
//! join a [v9] [id=a-01] [instance=i] [type=consumer] [protocols=range:text,roundrobin]
//!        [session=10s] [rebalance=60s]     id: what it was told last; "none" for none
//! sync a [v4] [gen=1] [id=…] [instance=i] [type=…] [protocol=…] [assign=a:x,b-02:y]
//! heartbeat a [gen=1] [id=…] [instance=i]
//! leave a [b …] [v5] [instance=i]          "none" for a member without id
//! commit a [gen=1] [id=…]                  of offsets
//! tick 3s                                  time passes, timers run out
//! hold, written, failed NOT_LEADER         writes wait from now on; their outcomes
//! set group.max.size=2                     configuration
//! reload                                   another broker becomes coordinator
//! delete                                   the group, if it may be
//! timers                                   which run
//! describe
//! history                                  its rebalances
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_config::BrokerValues;
use dohle_machine::{DueReply, Machine as _, ReplyToken, run_expired_timer};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Timestamp, Uuid};
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::join_group_request::{
    JoinGroupRequestData, JoinGroupRequestProtocol,
};
use dohle_protocol::messages::leave_group_request::{LeaveGroupRequestData, MemberIdentity};
use dohle_protocol::messages::sync_group_request::{
    SyncGroupRequestAssignment, SyncGroupRequestData,
};
use expect_test::Expect;

use crate::classic::group::ClassicGroup;
use crate::classic::tests::print;
use crate::config::GroupConfig;
use crate::ids::GroupId;
use crate::records::Record;
use crate::shard::Shard;
use crate::step::{Caller, JoinReply, OnCommit};
use crate::test_scripts::{self, ScriptDriver, duration};
use crate::wire::text;
use crate::{Effects, Step};

/// Runs a script and compares its trace.
#[track_caller]
pub(super) fn check(script: &str, expected: Expect) {
    test_scripts::check::<Driver>(script, expected);
}

/// A shard with one group, and the state of its clients.
pub(super) struct Driver {
    pub(super) shard: Shard,
    pub(super) config: GroupConfig,
    properties: BTreeMap<String, String>,
    image: MetadataImage,
    now: Duration,
    fresh: u8,
    tokens: u64,
    /// The client that sent each parked request.
    pub(super) parked: BTreeMap<u64, String>,
    /// The last member id and generation of each client.
    known: HashMap<String, (String, i32)>,
    pub(super) holds: bool,
    /// Writes whose outcome is not known yet.
    pub(super) writes: VecDeque<Open>,
    pub(super) log: Vec<Record>,
    /// Whether the last line wrote to the log.
    pub(super) wrote: bool,
    state: String,
    pub(super) out: String,
}

/// A write whose outcome is not known yet.
pub(super) struct Open {
    records: Vec<Record>,
    on_commit: Option<OnCommit>,
    /// The replies that wait for it.
    pub(super) replies: Vec<DueReply>,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            shard: Shard::default(),
            config: GroupConfig::resolve(&BrokerValues::default()),
            properties: BTreeMap::new(),
            image: MetadataImage::default(),
            now: Duration::from_secs(1000),
            fresh: 0,
            tokens: 0,
            parked: BTreeMap::new(),
            known: HashMap::new(),
            holds: false,
            writes: VecDeque::new(),
            log: Vec::new(),
            wrote: false,
            state: String::new(),
            out: String::new(),
        }
    }
}

/// The words of a line: `verb a b key=value v9`.
struct Words<'a> {
    names: Vec<&'a str>,
    values: HashMap<&'a str, &'a str>,
    version: Option<i16>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> (&'a str, Self) {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let mut this = Self {
            names: Vec::new(),
            values: HashMap::new(),
            version: None,
        };
        for word in words {
            let version = word.strip_prefix('v').and_then(|v| v.parse().ok());
            match word.split_once('=') {
                Some((key, value)) => drop(this.values.insert(key, value)),
                None if version.is_some() => this.version = version,
                None => this.names.push(word),
            }
        }
        (verb, this)
    }

    fn name(&self) -> &'a str {
        self.names.first().copied().unwrap_or_default()
    }

    fn ms(&self, key: &str, default: &str) -> i32 {
        let text = self.values.get(key).copied().unwrap_or(default);
        i32::try_from(duration(text).as_millis()).expect("fits")
    }

    fn optional(&self, key: &str) -> Option<dohle_protocol::KafkaString> {
        self.values.get(key).map(|value| text(value))
    }
}

impl ScriptDriver for Driver {
    fn run(&mut self, line: &str) {
        let _ = writeln!(self.out, "> {line}");
        self.wrote = false;
        let (verb, words) = Words::of(line);
        match verb {
            "join" => self.join(&words),
            "sync" => self.sync(&words),
            "heartbeat" => self.heartbeat(&words),
            "leave" => self.leave(&words),
            "commit" => self.commit(&words),
            "tick" => self.tick(duration(words.name())),
            "hold" => self.holds = true,
            "written" => self.outcome(Ok(())),
            "failed" => self.outcome(Err(print::code_of(words.name()))),
            "set" => self.set(&words),
            "reload" => self.reload(),
            "delete" => self.delete(),
            "timers" => self.timers(),
            "describe" => self.describe(),
            "history" => self.history(),
            other => panic!("no command {other}"),
        }
        self.print_state();
    }

    fn trace(&mut self) -> &mut String {
        &mut self.out
    }
}

impl Driver {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "  {text}");
    }

    /// Runs one step and carries out its effects.
    fn step<T>(&mut self, run: impl FnOnce(&mut Shard, &mut Step<'_>) -> T) -> T {
        self.fresh = self.fresh.wrapping_add(1);
        let mut fresh = [0; 16];
        fresh[15] = self.fresh;
        let wall = i64::try_from(self.now.as_millis()).expect("fits");
        let mut step = Step {
            now: self.now,
            wall: Timestamp(wall),
            image: &self.image,
            config: &self.config,
            fresh: Uuid(fresh),
            lookups: None,
            unresolved: Vec::new(),
            effects: Effects::default(),
        };
        let result = run(&mut self.shard, &mut step);
        let mut effects = step.effects;
        let events = std::mem::take(&mut effects.events);
        self.shard.on_events(events, Timestamp(wall));
        self.carry_out(effects);
        result
    }

    fn carry_out(&mut self, effects: Effects) {
        if effects.records.is_empty() {
            assert!(effects.on_commit.is_none(), "an outcome of nothing");
            for reply in effects.replies {
                self.deliver(reply);
            }
            return;
        }
        assert!(effects.skip_replay, "classic groups write what they are");
        for record in &effects.records {
            let text = print::record(record);
            self.line(&format!("write {text}"));
        }
        self.writes.push_back(Open {
            records: effects.records,
            on_commit: effects.on_commit,
            replies: effects.replies,
        });
        if !self.holds {
            self.outcome(Ok(()));
        }
    }

    fn outcome(&mut self, outcome: Result<(), ErrorCode>) {
        let open = self.writes.pop_front().expect("a write is open");
        let Open {
            records,
            on_commit,
            replies,
        } = open;
        if outcome.is_ok() {
            self.log.extend(records);
            self.wrote = true;
        }
        for reply in replies {
            self.deliver(match outcome {
                Ok(()) => reply,
                Err(code) => reply.failed(code),
            });
        }
        if let Some(on_commit) = on_commit {
            self.step(|shard, step| shard.on_commit(on_commit, outcome, step));
        }
    }

    fn history(&mut self) {
        let now = self.now;
        let reports = self.step(|shard, step| shard.report(Some("g"), step));
        for event in reports.iter().flat_map(|report| &report.rebalances) {
            let text = test_scripts::rebalance(event, now);
            self.line(&text);
        }
    }

    fn deliver(&mut self, reply: DueReply) {
        let name = self.parked.remove(&reply.id());
        let name = name.expect("each is answered once");
        let reply = print::Reply::of(reply);
        if let print::Reply::Join(JoinReply(response)) = &reply {
            let member_id = response.member_id.to_string();
            let refused = response.error_code != 0
                && response.error_code != ErrorCode::MemberIdRequired.code();
            if !refused {
                let known = (member_id, response.generation_id);
                self.known.insert(name.clone(), known);
            }
        }
        let text = print::reply(&reply);
        self.line(&format!("{name}: {text}"));
    }

    fn token<R>(&mut self, name: &str) -> ReplyToken<R> {
        self.tokens += 1;
        self.parked.insert(self.tokens, name.to_owned());
        ReplyToken::new(self.tokens)
    }

    /// Returns the member id for a word of the script.
    fn id(&self, word: &str) -> String {
        if word == "none" {
            return String::new();
        }
        if let Some((prefix, count)) = word.split_once('-') {
            return format!("{prefix}-00000000-0000-0000-0000-0000000000{count}");
        }
        let known = self.known.get(word);
        known.map(|(id, _)| id.clone()).unwrap_or_default()
    }

    fn member_id(&self, words: &Words<'_>) -> String {
        self.id(words.values.get("id").copied().unwrap_or(words.name()))
    }

    fn generation(&self, words: &Words<'_>) -> i32 {
        match words.values.get("gen") {
            Some(generation) => generation.parse().expect("a generation"),
            None => self.known.get(words.name()).map_or(-1, |known| known.1),
        }
    }

    fn join(&mut self, words: &Words<'_>) {
        let protocols = words.values.get("protocols").copied().unwrap_or("range");
        let protocols = protocols.split(',').filter(|protocol| *protocol != "none");
        let request = JoinGroupRequestData {
            group_id: text(words.values.get("group").copied().unwrap_or("g")),
            session_timeout_ms: words.ms("session", "10s"),
            rebalance_timeout_ms: words.ms("rebalance", "60s"),
            member_id: text(&self.member_id(words)),
            group_instance_id: words.optional("instance"),
            protocol_type: words.optional("type").unwrap_or(text("consumer")),
            protocols: protocols
                .map(|protocol| {
                    let (name, metadata) = protocol.split_once(':').unwrap_or((protocol, ""));
                    JoinGroupRequestProtocol {
                        name: text(name),
                        metadata: print::subscription(metadata),
                        ..JoinGroupRequestProtocol::default()
                    }
                })
                .collect(),
            ..JoinGroupRequestData::default()
        };
        let token = self.token(words.name());
        let caller = Caller {
            client_id: words.name(),
            client_host: "/127.0.0.1",
            version: words.version.unwrap_or(9),
        };
        self.step(|shard, step| shard.join_group(&request, caller, token, step));
    }

    fn sync(&mut self, words: &Words<'_>) {
        let assign = words.values.get("assign").copied().unwrap_or_default();
        let assignments = assign.split(',').filter(|word| !word.is_empty());
        let request = SyncGroupRequestData {
            group_id: text(words.values.get("group").copied().unwrap_or("g")),
            generation_id: self.generation(words),
            member_id: text(&self.member_id(words)),
            group_instance_id: words.optional("instance"),
            protocol_type: words.optional("type"),
            protocol_name: words.optional("protocol"),
            assignments: assignments
                .map(|word| {
                    let (name, assignment) = word.split_once(':').expect("name:assignment");
                    SyncGroupRequestAssignment {
                        member_id: text(&self.id(name)),
                        assignment: Bytes::copy_from_slice(assignment.as_bytes()),
                        ..SyncGroupRequestAssignment::default()
                    }
                })
                .collect(),
            ..SyncGroupRequestData::default()
        };
        let token = self.token(words.name());
        let caller = Caller {
            version: words.version.unwrap_or(4),
            ..CALLER
        };
        self.step(|shard, step| shard.sync_group(&request, caller, token, step));
    }

    fn heartbeat(&mut self, words: &Words<'_>) {
        let request = HeartbeatRequestData {
            group_id: text(words.values.get("group").copied().unwrap_or("g")),
            generation_id: self.generation(words),
            member_id: text(&self.member_id(words)),
            group_instance_id: words.optional("instance"),
            ..HeartbeatRequestData::default()
        };
        let response = self.step(|shard, step| shard.heartbeat(&request, CALLER, step));
        self.line(&format!(
            "{}: {}",
            words.name(),
            print::code(response.error_code)
        ));
    }

    fn leave(&mut self, words: &Words<'_>) {
        let version = words.version.unwrap_or(5);
        let members = words.names.iter().map(|name| MemberIdentity {
            member_id: text(&self.id(name)),
            group_instance_id: words.optional("instance"),
            ..MemberIdentity::default()
        });
        let mut request = LeaveGroupRequestData {
            group_id: text(words.values.get("group").copied().unwrap_or("g")),
            members: members.collect(),
            ..LeaveGroupRequestData::default()
        };
        if version < 3 {
            request.member_id = text(&self.id(words.name()));
            request.members.clear();
        }
        let caller = Caller { version, ..CALLER };
        let response = self.step(|shard, step| shard.leave_group(&request, caller, step));
        self.line(&print::left(&response));
    }

    fn commit(&mut self, words: &Words<'_>) {
        let member_id = self.member_id(words);
        let generation = self.generation(words);
        let instance = words.values.get("instance").copied();
        let result = self.step(|shard, step| {
            let group = shard.classic_group("g").expect("a classic group");
            group.validate_offset_commit(&member_id, instance, generation)?;
            shard.on_classic_commit("g", &member_id, step);
            Ok::<(), crate::step::Failed>(())
        });
        let text = result.map_or_else(|failed| failed.code.to_string(), |()| "ok".to_owned());
        self.line(&format!("{}: {text}", words.name()));
    }

    /// Advances the time.
    pub(super) fn tick(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.shard.timers.next()
            && next <= end
        {
            self.now = self.now.max(next);
            let before = self.out.len();
            let due = self.step(|shard, step| {
                let due = shard
                    .timers
                    .iter()
                    .next()
                    .map(|(_, timer)| print::timer(timer));
                run_expired_timer(shard, step);
                due
            });
            let waited = end.saturating_sub(time);
            let elapsed = self.now.saturating_sub(waited);
            let line = format!("  after {elapsed:?}: {}\n", due.unwrap_or_default());
            self.out.insert_str(before, &line);
            self.print_state();
        }
        self.now = end;
    }

    fn set(&mut self, words: &Words<'_>) {
        for (key, value) in &words.values {
            self.properties
                .insert((*key).to_owned(), (*value).to_owned());
        }
        let values = BrokerValues::fixed(Arc::new(self.properties.clone()));
        self.config = GroupConfig::resolve(&values);
    }

    /// Loads the log, as another broker would.
    fn reload(&mut self) {
        self.shard = Shard::default();
        self.parked.clear();
        self.writes.clear();
        for record in self.log.clone() {
            self.shard.replay(record);
        }
        self.step(|shard, step| shard.on_loaded(step));
    }

    fn delete(&mut self) {
        let group = self.shard.classic_group("g");
        let deletable = group.is_some_and(ClassicGroup::is_empty);
        if !deletable {
            return self.line("not deleted");
        }
        let tombstone = Record::Classic(GroupId::new("g"), None);
        self.shard.replay(tombstone.clone());
        self.log.push(tombstone);
        self.wrote = true;
    }

    fn timers(&mut self) {
        let mut lines = Vec::new();
        for (deadline, timer) in self.shard.timers.iter() {
            let left = deadline.saturating_sub(self.now);
            lines.push(format!("{} in {left:?}", print::timer(timer)));
        }
        for line in lines {
            self.line(&line);
        }
    }

    fn describe(&mut self) {
        let lines = match self.shard.classic_group("g") {
            Some(group) => print::described(&group.describe("g")),
            None => vec!["no group".to_owned()],
        };
        for line in lines {
            self.line(&line);
        }
    }

    fn print_state(&mut self) {
        let state = match self.shard.classic_group("g") {
            Some(group) => print::state(group),
            None => "no group".to_owned(),
        };
        if state != self.state {
            self.line(&format!("= {state}"));
            self.state = state;
        }
    }
}

const CALLER: Caller<'static> = Caller {
    client_id: "",
    client_host: "/127.0.0.1",
    version: 5,
};
