//! Starts servers and sends the scripts to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};

use super::recording::Answer;
use super::run::{self, Answers, Target};
use super::schema::Schemas;
use super::script::{Script, Server, Step};
use super::scripts::three_nodes;
use crate::Cluster;

/// Reads the schemas of the messages.
pub fn schemas() -> Result<Schemas> {
    let path = super::folder().join("schemas.json");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Schemas::parse(&text)
}

/// Starts a server of each kind that the scripts need, one after the other, and returns its answers
/// by API. An answer may take `answer_limit`.
pub fn answers(
    schemas: &Schemas,
    scripts: &[Script],
    answer_limit: Duration,
) -> Result<BTreeMap<&'static str, Answers>> {
    let mut found: BTreeMap<&'static str, Answers> = BTreeMap::new();
    for server in Server::ALL {
        let wanted = |script: &Script| script.sequences.iter().any(|it| it.server == server);
        if !scripts.iter().any(wanted) {
            continue;
        }
        let mut builder = Cluster::of(server.nodes());
        for (name, value) in server.properties() {
            builder = builder.property(name, value);
        }
        let mut cluster = builder.start()?;
        // Requests that no client would send are worth a warning each.
        cluster.allow(" WARN ");
        let nodes = cluster.nodes().iter();
        let targets: Vec<Target> = nodes
            .map(|node| Target {
                address: node.address,
                answer_limit,
            })
            .collect();
        let shared = match server.nodes() {
            1 if server == Server::AutomaticTopics => Vec::new(),
            1 => run::warm_up(schemas, targets[0]).map(|()| Vec::new())?,
            _ => {
                let (topics, steps) = (three_nodes::topics(), three_nodes::before());
                run::prepare_shared(schemas, &targets, &topics, &steps)?
            }
        };
        if server == Server::TwoOfThree {
            cluster.broker(3).kill()?;
            run::prepare(schemas, &targets, &shared, &three_nodes::after_a_kill())?;
        }
        for script in scripts.iter().filter(|script| wanted(script)) {
            let more = run::run(schemas, &targets, &shared, script, server);
            let of_api = found.entry(script.api).or_default();
            of_api.answers.extend(more.answers);
            of_api.failed.extend(more.failed);
        }
    }
    Ok(found)
}

/// Returns the cases of a script and their versions.
pub fn cases(script: &Script) -> BTreeSet<(String, i16)> {
    let cases = script.sequences.iter().flat_map(|sequence| {
        let of_sequence = sequence.steps.iter().filter_map(|step| match step {
            Step::Case { name, .. } => {
                Some((format!("{}/{name}", sequence.name), sequence.version))
            }
            Step::Call { .. } | Step::Node(_) => None,
        });
        of_sequence.collect::<Vec<_>>()
    });
    cases.collect()
}

/// Returns the names of the APIs that scripts and the test of permissions call.
pub fn apis(scripts: &[Script]) -> BTreeSet<&'static str> {
    let mut apis = BTreeSet::from(run::OWN_CALLS);
    apis.extend(super::permissions::rows().iter().map(|row| row.api));
    for script in scripts {
        apis.insert(script.api);
        for step in script.sequences.iter().flat_map(|it| &it.steps) {
            if let Step::Call { api, .. } = step {
                apis.insert(*api);
            }
        }
    }
    apis
}

/// Returns the scripts, or those that `DOHLE_WIRE_API` names, with commas between them.
pub fn scripts() -> Vec<Script> {
    let mut scripts = super::scripts::all();
    if let Ok(apis) = std::env::var("DOHLE_WIRE_API") {
        scripts.retain(|script| apis.split(',').any(|api| api == script.api));
    }
    scripts
}

/// Sorts answers into the order of the script.
pub fn sorted(script: &Script, answers: &[Answer]) -> Vec<Answer> {
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    for sequence in &script.sequences {
        for step in &sequence.steps {
            if let Step::Case { name, .. } = step {
                let next = order.len();
                order
                    .entry(format!("{}/{name}", sequence.name))
                    .or_insert(next);
            }
        }
    }
    let mut answers = answers.to_vec();
    answers.sort_by_key(|answer| (order.get(&answer.case).copied(), answer.version));
    answers
}
