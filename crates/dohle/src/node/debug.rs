//! What a broker does now, as the JSON of `/debug`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_broker::metadata::MetadataCache;
use dohle_broker::partition::{
    ChangeKind, FollowerReport, Partition, PartitionChange, PartitionReport, PendingIsr,
};
use dohle_broker::partitions::{Partitions, wall_clock};
use dohle_broker::replication::StreamReplicator;
use dohle_coordinator::ShardReport;
use dohle_coordinator::groups::{GroupCoordinator, OFFSETS_TOPIC};
use dohle_coordinator::transactions::{TRANSACTION_TOPIC, TransactionCoordinator};
use dohle_groups::history::Rebalance;
use dohle_groups::requests::ReportGroups;
use dohle_groups::timers::Timer;
use dohle_groups::{GroupReport, MemberReport};
use dohle_model::NodeId;
use dohle_telemetry::history::Event;
use dohle_web::{DebugPage, DebugQuery};
use serde_json::{Value, json};

/// How long the groups may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The parts of a broker that are shown.
#[derive(Clone)]
pub(super) struct BrokerDebug {
    pub node: NodeId,
    pub metadata: Arc<MetadataCache>,
    pub partitions: Arc<Partitions>,
    pub replicator: Arc<StreamReplicator>,
    pub groups: Arc<GroupCoordinator>,
    pub transactions: Arc<TransactionCoordinator>,
}

impl BrokerDebug {
    /// Returns a page.
    pub(super) async fn page(&self, page: DebugPage, query: DebugQuery) -> Value {
        let show = match page {
            DebugPage::Groups => return self.groups(&query).await,
            DebugPage::Partitions => Self::partitions,
            DebugPage::Replication => Self::replication,
            DebugPage::Requests => Self::requests,
            DebugPage::Timers => Self::timers,
        };
        let broker = self.clone();
        // Off the threads for control work: there may be many partitions.
        let work = move || show(&broker, &query);
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// The replicas that a query selects, by their names.
    fn selected(&self, query: &DebugQuery) -> Vec<(String, Arc<Partition>)> {
        let is_selected = |partition: &Arc<Partition>| {
            let name = partition.name();
            let topic = query.topic.as_deref();
            topic.is_none_or(|topic| topic == name.topic.as_str())
                && query
                    .partition
                    .is_none_or(|index| index == name.partition.0)
        };
        let all = self.partitions.all().into_iter();
        // Sorts the partitions of a topic as numbers.
        let mut selected: Vec<_> = all.filter(is_selected).collect();
        selected.sort_by(|a, b| a.name().cmp(b.name()));
        selected
            .into_iter()
            .map(|partition| (partition.name().to_string(), partition))
            .collect()
    }

    fn partitions(&self, query: &DebugQuery) -> Value {
        let selected = Selection::of(self.selected(query), query);
        let shown = selected.entries.iter();
        let shown = shown.map(|(_, partition)| self.partition(partition));
        let shown: Vec<Value> = shown.collect();
        selected.page(self.node, "partitions", shown)
    }

    fn partition(&self, partition: &Partition) -> Value {
        let report = partition.inspect();
        let image = self.metadata.image();
        let registration = image.partition(&partition.id());
        let positions = &report.positions;
        let replicas = registration.map(|it| ids(&it.replicas));
        let mut shown = json!({
            "topic": partition.topic().as_str(),
            "partition": partition.name().partition.0,
            "topicId": partition.id().topic_id.to_string(),
            "leads": report.leading.is_some(),
            "leader": report.leader.map(|id| id.0),
            "leaderEpoch": positions.leader_epoch.0,
            "partitionEpoch": report.partition_epoch.map(|epoch| epoch.0),
            "replicas": replicas,
            "isr": registration.map(|it| ids(&it.isr)),
            "eligibleLeaderReplicas": registration.map(|it| ids(&it.elr)),
            "logStartOffset": positions.log_start_offset.0,
            "lastStableOffset": positions.last_stable_offset.0,
            "highWatermark": positions.high_watermark.0,
            "logEndOffset": positions.log_end_offset.0,
            "bytes": report.size,
            "directory": report.dir.to_string(),
            "offline": report.offline,
            "obstacle": report.obstacle,
            "waitingForCommit": report.waiting_commits,
            "waitingForDeletion": report.waiting_deletes,
            "changes": partition.changes().iter().map(change).collect::<Vec<_>>(),
        });
        if let Some(leading) = &report.leading {
            shown["minInsyncReplicas"] = leading.min_isr.into();
            shown["pendingIsrChange"] = match &leading.pending {
                None => Value::Null,
                Some(PendingIsr::Adding(id)) => json!({ "adding": [id.0] }),
                Some(PendingIsr::Removing(removed)) => json!({ "removing": ids(removed) }),
            };
            let followers = leading.followers.iter();
            let followers: Vec<Value> = followers
                .map(|follower| {
                    json!({
                        "broker": follower.id.0,
                        "inSync": leading.isr.contains(&follower.id),
                        "connected": follower.is_connected,
                        "logEndOffset": follower.log_end.map(|end| end.0),
                        "lagRecords": lag_records(follower, &report),
                        "caughtUpAgoMs": follower.caught_up_ago.map(ms),
                        "withoutSpace": follower.is_paused,
                        "mayJoinIsr": !follower.is_ineligible,
                    })
                })
                .collect();
            shown["followers"] = followers.into();
        }
        shown
    }

    fn replication(&self, query: &DebugQuery) -> Value {
        let streams = self.replicator.report().into_iter().map(|stream| {
            json!({
                "leader": stream.leader.0,
                "kind": stream.kind,
                "address": stream.address,
                "partitions": stream.partitions,
                "connectedForMs": stream.connected_for.map(ms),
                "lastFailure": stream.last_failure,
            })
        });
        let streams: Vec<Value> = streams.collect();
        let mut followers: BTreeMap<NodeId, Followed> = BTreeMap::new();
        for (_, partition) in self.selected(query) {
            let report = partition.inspect();
            let Some(leading) = &report.leading else {
                continue;
            };
            for follower in &leading.followers {
                let of_broker = followers.entry(follower.id).or_default();
                of_broker.add(follower, leading.isr.contains(&follower.id), &report);
            }
        }
        let followers = followers.iter().map(|(id, followed)| followed.show(*id));
        json!({
            "node": self.node.0,
            "fromLeaders": streams,
            "toFollowers": followers.collect::<Vec<_>>(),
        })
    }

    fn requests(&self, query: &DebugQuery) -> Value {
        let mut waiting = Vec::new();
        for (name, partition) in self.selected(query) {
            let report = partition.inspect();
            if report.waiting_commits + report.waiting_deletes > 0 {
                waiting.push((name, report));
            }
        }
        let (commits, deletes) = waiting.iter().fold((0, 0), |(commits, deletes), (_, it)| {
            (commits + it.waiting_commits, deletes + it.waiting_deletes)
        });
        let selected = Selection::of(waiting, query);
        let shown = selected.entries.iter().map(|(name, report)| {
            json!({
                "partition": name,
                "waitingForCommit": report.waiting_commits,
                "waitingForDeletion": report.waiting_deletes,
                "highWatermark": report.positions.high_watermark.0,
                "logEndOffset": report.positions.log_end_offset.0,
            })
        });
        let shown: Vec<Value> = shown.collect();
        let mut page = selected.page(self.node, "partitions", shown);
        page["waitingForCommit"] = commits.into();
        page["waitingForDeletion"] = deletes.into();
        page["coordinators"] = json!([
            coordinator(OFFSETS_TOPIC.name, &self.groups.report()),
            coordinator(TRANSACTION_TOPIC.name, &self.transactions.report()),
        ]);
        page
    }

    async fn groups(&self, query: &DebugQuery) -> Value {
        let request = ReportGroups {
            only: query.group.as_deref(),
        };
        let shards = self.groups.run_in_all(&request);
        let answered = tokio::time::timeout(PATIENCE, shards).await;
        let shards = answered.unwrap_or_default();
        let not_answered = shards.iter().filter(|answer| answer.is_err()).count();
        let mut groups: Vec<GroupReport> = shards.into_iter().flatten().flatten().collect();
        groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let groups = groups.into_iter();
        let groups = groups.map(|report| (report.group_id.to_string(), report));
        let selected = Selection::of(groups.collect(), query);
        let shown = selected.entries.iter();
        let shown = shown.map(|(_, report)| group(report, query.group.is_some()));
        let shown: Vec<Value> = shown.collect();
        let mut page = selected.page(self.node, "groups", shown);
        page["partitionsThatDoNotAnswer"] = not_answered.into();
        page
    }

    fn timers(&self, query: &DebugQuery) -> Value {
        let wanted = |timer: &Timer| {
            let group = query.group.as_deref();
            group.is_none_or(|group| described(timer).1 == group)
        };
        let timers = self.groups.timers(query.limit, wanted);
        let of_groups = timers.iter().map(|report| {
            let (waits_for, group, member) = described(&report.timer);
            json!({
                "coordinator": OFFSETS_TOPIC.name,
                "partition": report.partition.0,
                "expiresInMs": ms(report.left),
                "waitsFor": waits_for,
                "group": group,
                "member": member,
            })
        });
        let mut shown: Vec<Value> = of_groups.collect();
        if query.group.is_none() {
            let timers = self.transactions.timers(query.limit);
            shown.extend(timers.into_iter().map(|report| {
                json!({
                    "coordinator": TRANSACTION_TOPIC.name,
                    "partition": report.partition.0,
                    "expiresInMs": ms(report.left),
                    "waitsFor": report.timer,
                })
            }));
            shown.sort_by_key(|timer| timer["expiresInMs"].as_u64());
            shown.truncate(query.limit);
        }
        let count = |reports: &[ShardReport]| reports.iter().map(|it| it.timers).sum::<usize>();
        json!({
            "node": self.node.0,
            "running": count(&self.groups.report()) + count(&self.transactions.report()),
            "timers": shown,
        })
    }
}

/// The entries of a page, and the last one of them if more follow.
struct Selection<T> {
    entries: Vec<(String, T)>,
    next: Option<String>,
}

impl<T> Selection<T> {
    /// Takes the entries after that which the query names. Entries have their names and an order.
    fn of(mut entries: Vec<(String, T)>, query: &DebugQuery) -> Self {
        if let Some(after) = &query.after
            && let Some(at) = entries.iter().position(|(name, _)| name == after)
        {
            entries.drain(..=at);
        }
        let has_more = entries.len() > query.limit;
        entries.truncate(query.limit);
        let last = entries.last().map(|(name, _)| name.clone());
        Self {
            entries,
            next: last.filter(|_| has_more),
        }
    }

    fn page(&self, node: NodeId, name: &str, shown: Vec<Value>) -> Value {
        json!({
            "node": node.0,
            "nowMs": wall_clock().0,
            name: shown,
            "next": self.next,
        })
    }
}

/// The partitions of this broker that another one follows.
#[derive(Default)]
struct Followed {
    partitions: usize,
    connected: usize,
    in_sync: usize,
    lag_records: i64,
    lag_records_max: i64,
}

impl Followed {
    fn add(&mut self, follower: &FollowerReport, is_in_sync: bool, report: &PartitionReport) {
        let lag = lag_records(follower, report).unwrap_or(0);
        self.partitions += 1;
        self.connected += usize::from(follower.is_connected);
        self.in_sync += usize::from(is_in_sync);
        self.lag_records = self.lag_records.saturating_add(lag);
        self.lag_records_max = self.lag_records_max.max(lag);
    }

    fn show(&self, id: NodeId) -> Value {
        json!({
            "follower": id.0,
            "partitions": self.partitions,
            "connected": self.connected,
            "inSync": self.in_sync,
            "lagRecords": self.lag_records,
            "lagRecordsMax": self.lag_records_max,
        })
    }
}

/// The records that a follower lacks; `None` if the end of its log is unknown.
fn lag_records(follower: &FollowerReport, report: &PartitionReport) -> Option<i64> {
    let end = report.positions.log_end_offset.0;
    let acked = follower.log_end?;
    Some(end.saturating_sub(acked.0).max(0))
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|id| id.0).collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn change(event: &Event<PartitionChange>) -> Value {
    let change = &event.what;
    let (kind, broker) = match change.kind {
        ChangeKind::Leader(leader) => ("leader", leader),
        ChangeKind::IsrShrunk(id) => ("isrShrunk", Some(id)),
        ChangeKind::IsrExpanded(id) => ("isrExpanded", Some(id)),
    };
    json!({
        "atMs": event.at_ms,
        "kind": kind,
        "broker": broker.map(|id| id.0),
        "leaderEpoch": change.leader_epoch.0,
        "isr": ids(&change.isr),
        "reason": change.reason,
        "found": change.found,
    })
}

fn coordinator(topic: &str, shards: &[ShardReport]) -> Value {
    let parked: usize = shards.iter().map(|shard| shard.parked).sum();
    let timers: usize = shards.iter().map(|shard| shard.timers).sum();
    let listed = shards
        .iter()
        .filter(|shard| shard.parked > 0 || shard.load != dohle_coordinator::Load::Done);
    let listed = listed.map(|shard| {
        json!({
            "partition": shard.partition.0,
            "leaderEpoch": shard.leader_epoch.0,
            "state": shard.load.name(),
            "parked": shard.parked,
        })
    });
    json!({
        "topic": topic,
        "partitions": shards.len(),
        "parked": parked,
        "timers": timers,
        "partitionsThatWaitOrLoad": listed.collect::<Vec<_>>(),
    })
}

fn group(report: &GroupReport, is_whole: bool) -> Value {
    let mut shown = json!({
        "group": report.group_id.as_str(),
        "type": report.kind,
        "state": report.state,
        "generation": report.generation,
        "memberCount": report.member_count,
        "coordinatorSinceMs": report.coordinated_since.map(|since| since.0),
    });
    let rebalances: Vec<Value> = report.rebalances.iter().map(rebalance).collect();
    if is_whole {
        shown["members"] = report.members.iter().map(member).collect();
        shown["rebalances"] = rebalances.into();
    } else {
        shown["lastRebalance"] = rebalances.into_iter().next_back().unwrap_or_default();
    }
    shown
}

fn member(member: &MemberReport) -> Value {
    json!({
        "id": member.member_id.as_str(),
        "instanceId": member.instance_id.as_ref().map(ToString::to_string),
        "clientId": member.client_id,
        "host": member.client_host.trim_start_matches('/'),
        "sessionExpiresInMs": member.session_left.map(ms),
        "waiting": member.waiting.map(dohle_groups::Waiting::text),
    })
}

fn rebalance(event: &Event<Rebalance>) -> Value {
    let rebalance = &event.what;
    json!({
        "atMs": event.at_ms,
        "generation": rebalance.generation,
        "members": rebalance.members,
        "began": rebalance.began,
        "cause": rebalance.cause.to_string(),
    })
}

/// What a timer waits for, its group, and its member.
fn described(timer: &Timer) -> (&'static str, &str, Option<&str>) {
    match timer {
        Timer::ClassicJoin(group) => ("the members to join", group.as_str(), None),
        Timer::ClassicSync(group) => ("the members to ask for assignments", group.as_str(), None),
        Timer::ClassicSession(group, member) | Timer::ConsumerSession(group, member) => {
            ("a heartbeat", group.as_str(), Some(member.as_str()))
        }
        Timer::ConsumerRebalance(group, member) => (
            "partitions that are given back",
            group.as_str(),
            Some(member.as_str()),
        ),
        Timer::ConsumerJoin(group, member) => (
            "the member to join again",
            group.as_str(),
            Some(member.as_str()),
        ),
        Timer::ConsumerSync(group, member) => (
            "the member to ask for its assignment",
            group.as_str(),
            Some(member.as_str()),
        ),
    }
}
