//! Constraints between properties, by scope. The constraints of topics and groups may name
//! properties of brokers too, which bound them.

use crate::Scope;
use crate::constraint::Relation::{
    AtLeast, AtLeastWhenPositive, AtMost, Below, BelowLimit, HalfToDouble, ItemsOf, MoreForEach,
    Positive, PositiveWithinLimit, WithinRetention, ZeroOnlyWith,
};
use crate::constraint::{Constraint, Relation};

/// Returns the constraints of a scope.
pub(crate) const fn constraints(scope: Scope) -> &'static [&'static [Constraint]] {
    match scope {
        Scope::Topic => TOPIC,
        Scope::Broker => BROKER,
        Scope::Group => GROUP,
        Scope::ClientMetrics => &[],
    }
}

const fn of(relation: Relation, names: &'static [&'static str]) -> Constraint {
    Constraint::new(relation, names)
}

const MIB: i64 = 1 << 20;

/// The bounds of a property of groups, as properties of brokers: `group.KIND.NAME` is between
/// `group.KIND.min.NAME` and `group.KIND.max.NAME`.
macro_rules! broker_bounds {
    ($kind:literal, $name:literal) => {
        &[
            of(
                AtLeast,
                &[
                    concat!("group.", $kind, ".max.", $name),
                    concat!("group.", $kind, ".min.", $name),
                ],
            ),
            of(
                AtLeast,
                &[
                    concat!("group.", $kind, ".", $name),
                    concat!("group.", $kind, ".min.", $name),
                ],
            ),
            of(
                AtMost,
                &[
                    concat!("group.", $kind, ".", $name),
                    concat!("group.", $kind, ".max.", $name),
                ],
            ),
        ]
    };
}

/// The bounds of a property of groups, `KIND.NAME`: those of its broker.
macro_rules! group_bounds {
    ($kind:literal, $name:literal) => {
        &[
            of(
                AtLeast,
                &[
                    concat!($kind, ".", $name),
                    concat!("group.", $kind, ".min.", $name),
                ],
            ),
            of(
                AtMost,
                &[
                    concat!($kind, ".", $name),
                    concat!("group.", $kind, ".max.", $name),
                ],
            ),
        ]
    };
}

const BROKER: &[&[Constraint]] = &[
    LOG,
    NETWORK,
    THREADS,
    GROUPS,
    broker_bounds!("consumer", "session.timeout.ms"),
    broker_bounds!("consumer", "heartbeat.interval.ms"),
    broker_bounds!("consumer", "assignment.interval.ms"),
    broker_bounds!("share", "session.timeout.ms"),
    broker_bounds!("share", "heartbeat.interval.ms"),
    broker_bounds!("share", "assignment.interval.ms"),
    broker_bounds!("streams", "session.timeout.ms"),
    broker_bounds!("streams", "heartbeat.interval.ms"),
    broker_bounds!("streams", "assignment.interval.ms"),
    broker_bounds!("share", "record.lock.duration.ms"),
    broker_bounds!("share", "delivery.count.limit"),
    broker_bounds!("share", "partition.max.record.locks"),
];

#[rustfmt::skip]
const LOG: &[Constraint] = &[
    of(MoreForEach(MIB), &["log.cleaner.dedupe.buffer.size", "log.cleaner.threads"]),
    of(AtMost, &["log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"]),
    of(WithinRetention, &["log.local.retention.ms", "log.retention.ms"]).at_run_time_only(),
    of(WithinRetention, &["log.local.retention.bytes", "log.retention.bytes"]).at_run_time_only(),
    of(
        PositiveWithinLimit,
        &["log.remote.copy.lag.ms", "log.local.retention.ms", "log.retention.ms"],
    ).at_run_time_only(),
    of(
        PositiveWithinLimit,
        &["log.remote.copy.lag.bytes", "log.local.retention.bytes", "log.retention.bytes"],
    ).at_run_time_only(),
    of(ItemsOf, &["cordoned.log.dirs", "log.dirs", "log.dir"]),
    of(AtLeast, &["replica.socket.timeout.ms", "replica.fetch.wait.max.ms"]),
    of(AtMost, &["replica.fetch.wait.max.ms", "replica.lag.time.max.ms"]),
];

#[rustfmt::skip]
const NETWORK: &[Constraint] = &[
    of(AtLeastWhenPositive, &["queued.max.request.bytes", "socket.request.max.bytes"]),
    of(BelowLimit, &["connection.failed.authentication.delay.ms", "connections.max.idle.ms"]),
    of(ZeroOnlyWith, &["max.connections.per.ip", "max.connections.per.ip.overrides"]),
    of(Positive, &["max.connections"]).at_run_time_only(),
    of(Positive, &["max.connection.creation.rate"]).at_run_time_only(),
];

#[rustfmt::skip]
const THREADS: &[Constraint] = &[
    of(HalfToDouble, &["background.threads"]).at_run_time_only(),
    of(HalfToDouble, &["log.cleaner.threads"]).at_run_time_only(),
    of(HalfToDouble, &["num.io.threads"]).at_run_time_only(),
    of(HalfToDouble, &["num.network.threads"]).at_run_time_only(),
    of(HalfToDouble, &["num.recovery.threads.per.data.dir"]).at_run_time_only(),
    of(HalfToDouble, &["num.replica.fetchers"]).at_run_time_only(),
    of(HalfToDouble, &["remote.log.manager.copier.thread.pool.size"]).at_run_time_only(),
    of(HalfToDouble, &["remote.log.manager.expiration.thread.pool.size"]).at_run_time_only(),
    of(HalfToDouble, &["remote.log.manager.follower.thread.pool.size"]).at_run_time_only(),
    of(HalfToDouble, &["remote.log.reader.threads"]).at_run_time_only(),
];

#[rustfmt::skip]
const GROUPS: &[Constraint] = &[
    of(Below, &["group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"]),
    of(Below, &["group.share.heartbeat.interval.ms", "group.share.session.timeout.ms"]),
    of(Below, &["group.streams.heartbeat.interval.ms", "group.streams.session.timeout.ms"]),
    of(AtLeast, &["group.share.max.share.sessions", "group.share.max.size"]),
    of(AtMost, &["group.streams.num.standby.replicas", "group.streams.max.standby.replicas"]),
    of(AtMost, &["group.streams.num.warmup.replicas", "group.streams.max.warmup.replicas"]),
    of(
        AtLeast,
        &["group.streams.task.offset.interval.ms", "group.streams.min.task.offset.interval.ms"],
    ),
];

#[rustfmt::skip]
const TOPIC: &[&[Constraint]] = &[&[
    of(AtMost, &["min.compaction.lag.ms", "max.compaction.lag.ms"]),
]];

const GROUP: &[&[Constraint]] = &[
    OF_GROUPS,
    group_bounds!("consumer", "heartbeat.interval.ms"),
    group_bounds!("consumer", "session.timeout.ms"),
    group_bounds!("consumer", "assignment.interval.ms"),
    group_bounds!("share", "heartbeat.interval.ms"),
    group_bounds!("share", "session.timeout.ms"),
    group_bounds!("share", "record.lock.duration.ms"),
    group_bounds!("share", "delivery.count.limit"),
    group_bounds!("share", "partition.max.record.locks"),
    group_bounds!("share", "assignment.interval.ms"),
    group_bounds!("streams", "heartbeat.interval.ms"),
    group_bounds!("streams", "session.timeout.ms"),
    group_bounds!("streams", "assignment.interval.ms"),
];

#[rustfmt::skip]
const OF_GROUPS: &[Constraint] = &[
    of(Below, &["consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"]),
    of(Below, &["share.heartbeat.interval.ms", "share.session.timeout.ms"]),
    of(Below, &["streams.heartbeat.interval.ms", "streams.session.timeout.ms"]),
    of(AtMost, &["streams.num.standby.replicas", "group.streams.max.standby.replicas"]),
    of(AtMost, &["streams.num.warmup.replicas", "group.streams.max.warmup.replicas"]),
    of(
        AtLeast,
        &["streams.task.offset.interval.ms", "group.streams.min.task.offset.interval.ms"],
    ),
];
