//! Random groups: members join, heartbeat, lose responses, become silent, leave and return, in both
//! protocols; topics grow, and are deleted and created; writes fail; brokers fail over. At each
//! step no partition has two owners, and the coordinator knows every partition that a member holds;
//! when all members heartbeat, all reach their targets.
//!
//! `DOHLE_FUZZ_CASES` sets the number of cases; proptest prints the script that fails, and
//! `PROPTEST_RNG_SEED` repeats a whole run.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::{PartitionIndex, TopicId};
use proptest::prelude::*;

use super::harness::Harness;
use crate::modern::group::GroupState;

/// The most heartbeats of all members until each has its target: sessions of members that are gone
/// end after nine.
const ROUNDS_MAX: usize = 40;

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("DOHLE_FUZZ_CASES").ok();
    let cases = cases.and_then(|text| text.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::with_cases(cases.unwrap_or(default))
    }
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

const CLIENTS: &[&str] = &["A", "B", "C", "D", "E"];
const SUBSCRIPTIONS: &[&str] = &["t1", "t1,t2", "t2", "t1,t2,u1", "u1"];

fn on_client(commands: &'static [&'static str]) -> impl Strategy<Value = String> {
    (one_of(commands), one_of(CLIENTS)).prop_map(|(command, client)| format!("{command} {client}"))
}

fn join() -> impl Strategy<Value = String> {
    let options = one_of(&[
        "",
        "",
        "",
        "i=x",
        "i=y",
        "regex=t.*",
        "assignor=range",
        "timeout=4000",
    ]);
    (one_of(CLIENTS), one_of(SUBSCRIPTIONS), options).prop_map(|(client, topics, options)| {
        // Another instance is another process, which creates another id for itself.
        let id = options.strip_prefix("i=").unwrap_or_default();
        format!("join {client} {topics} {options} id={client}{id}")
    })
}

fn classic_join() -> impl Strategy<Value = String> {
    (
        one_of(CLIENTS),
        one_of(SUBSCRIPTIONS),
        one_of(&["", "", "i=x"]),
    )
        .prop_map(|(client, topics, options)| format!("cjoin {client} {topics} {options}"))
}

fn command() -> impl Strategy<Value = String> {
    let subscribe = (one_of(CLIENTS), one_of(SUBSCRIPTIONS))
        .prop_map(|(client, topics)| format!("beat {client} topics={topics}"));
    let topic = (one_of(&["t1", "t2", "u1"]), 1..7)
        .prop_map(|(name, partitions)| format!("grow {name} {partitions}"));
    prop_oneof![
        20 => on_client(&["ack"]),
        4 => on_client(&["beat", "lose"]),
        6 => join(),
        3 => on_client(&["leave", "away"]),
        3 => subscribe,
        2 => topic,
        1 => one_of(&["delete t1", "delete t2", "delete u1"]),
        3 => one_of(&["wait 1000", "wait 5000", "wait 20000", "wait 50000"]),
        2 => one_of(&["fail", "reload"]),
        1 => one_of(&["config assignment.interval 0", "config assignment.interval 1000"]),
        4 => classic_join(),
        6 => on_client(&["csync", "cbeat", "cleave"]),
    ]
}

fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

impl Harness {
    fn simulate(&mut self, command: &str) {
        match words(command).as_slice() {
            ["grow", name, partitions] => {
                let now = self
                    .image
                    .topic(name)
                    .map_or(0, |topic| topic.partitions.len());
                let wanted: usize = partitions.parse().expect("a number");
                self.topic(name, i32::try_from(now.max(wanted)).expect("small"));
            }
            [
                "ack" | "beat" | "lose" | "leave" | "away" | "csync" | "cbeat" | "cleave",
                name,
                ..,
            ] if !self.clients.contains_key(*name) => {}
            // The coordinator handles the request, and its response is lost.
            ["lose", name] => {
                let before = self.clients.get(*name).cloned();
                self.ack(name);
                if let Some(mut before) = before {
                    before.says_all = true;
                    self.clients.insert((*name).to_owned(), before);
                }
            }
            // After a failover, a classic group has lost its parked requests.
            ["reload"] if self.group().is_none() => {}
            // A client that changes to the classic protocol is another process too.
            ["cjoin", name, ..] => {
                if self
                    .clients
                    .get(*name)
                    .is_some_and(|client| !client.classic)
                {
                    self.clients.remove(*name);
                }
                self.command(&words(command));
            }
            // A client that leaves for good does not return with its old state.
            ["leave" | "cleave", name] => {
                self.command(&words(command));
                self.clients.remove(*name);
            }
            words => self.command(words),
        }
        self.check_clients();
    }

    /// Checks that the coordinator knows every partition that a member holds.
    fn check_clients(&self) {
        let Some(group) = self.group() else {
            return;
        };
        for client in self.clients.values() {
            let knows = client.epoch > 0 && (!client.classic || client.synced);
            let Some(member) = group.member(&client.id).filter(|_| knows) else {
                continue;
            };
            let known: BTreeSet<(TopicId, PartitionIndex)> =
                member.common.all_partitions().collect();
            for (topic_id, partitions) in &client.has {
                // Classic assignments have names of topics, of which a deleted topic has no id.
                let exists = self
                    .image
                    .topics
                    .values()
                    .any(|topic| topic.id == *topic_id);
                if client.classic && !exists {
                    continue;
                }
                for partition in partitions {
                    assert!(
                        known.contains(&(*topic_id, *partition)),
                        "{client:?} {member:?}"
                    );
                }
            }
        }
    }

    /// Lets all members heartbeat until nothing changes any more.
    fn settle(&mut self) {
        for name in ["t1", "t2", "u1"] {
            self.simulate(&format!("grow {name} 1"));
        }
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in &names {
            if self.clients[name].classic {
                self.simulate(&format!("cleave {name}"));
                self.clients.remove(name);
            }
        }
        self.give_up_instances();
        for _ in 0..ROUNDS_MAX {
            self.wait(5_000);
            for name in &names {
                match self.clients.get(name).map(|client| client.epoch) {
                    None => {}
                    Some(..=0) => self.rejoin(name),
                    Some(1..) => self.ack(name),
                }
                self.check_clients();
            }
            if self.has_settled() && self.is_complete() {
                return;
            }
        }
        panic!("nothing settled:\n{}\n{:?}", self.state(), self.clients);
    }

    /// Of several clients with one instance id, one continues: the one that is the member, if any
    /// is.
    fn give_up_instances(&mut self) {
        let mut chosen: BTreeMap<String, String> = BTreeMap::new();
        for (name, client) in &self.clients {
            let Some(instance) = &client.instance else {
                continue;
            };
            let member = self.group().and_then(|group| group.static_member(instance));
            let is_member = member.is_some_and(|member| member.id().as_str() == client.id);
            if is_member || !chosen.contains_key(instance) {
                chosen.insert(instance.clone(), name.clone());
            }
        }
        self.clients.retain(|name, client| match &client.instance {
            Some(instance) => chosen.get(instance) == Some(name),
            None => true,
        });
    }

    fn has_settled(&self) -> bool {
        let Some(group) = self.group() else {
            return self.clients.is_empty();
        };
        let has_target = |client: &super::harness::Client| {
            let target = group.target(&client.id);
            group.member(&client.id).is_some() && target.is_some_and(|t| **t == client.has)
        };
        let everybody = group.members().len() == self.clients.len();
        match group.state() {
            GroupState::Empty => self.clients.is_empty(),
            GroupState::Stable => everybody && self.clients.values().all(has_target),
            GroupState::Assigning | GroupState::Reconciling => false,
        }
    }

    /// Returns whether exactly the partitions of subscribed topics have an owner.
    fn is_complete(&self) -> bool {
        let Some(group) = self.group() else {
            return true;
        };
        self.image.topics.values().all(|topic| {
            let subscribed = group.is_subscribed_to(topic.name.as_str());
            let mut partitions = topic.partitions.keys();
            partitions.all(|p| group.owner(topic.id, *p).is_some() == subscribed)
        })
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn no_partition_has_two_owners_and_everybody_gets_the_target(
        script in prop::collection::vec(command(), 1..120),
    ) {
        let mut harness = Harness::default();
        harness.resets = true;
        harness.simulate("grow t1 3");
        harness.simulate("grow t2 2");
        for line in &script {
            harness.simulate(line);
        }
        harness.settle();
    }
}
