//! Tests of the queue's turns, cancellations and memory, and random uses compared with a model.

use std::collections::{BTreeMap, VecDeque};

use super::*;

fn pops(queue: &mut FairQueue<u32, &'static str>, count: usize) -> Vec<&'static str> {
    (0..count).filter_map(|_| queue.pop()).collect()
}

#[test]
fn owners_take_turns_and_each_has_its_jobs_done_in_order() {
    let mut queue = FairQueue::new();
    for job in ["a1", "a2", "a3", "a4"] {
        queue.push(1, job);
    }
    queue.push(2, "b1");
    assert_eq!(pops(&mut queue, 3), ["a1", "b1", "a2"]);
    queue.push(3, "c1");
    queue.push(2, "b2");
    assert_eq!(pops(&mut queue, 9), ["a3", "c1", "b2", "a4"]);
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_job_that_is_cancelled_is_not_done_and_takes_no_turn() {
    let mut queue = FairQueue::new();
    let first = queue.push(1, "a1");
    queue.push(1, "a2");
    let only = queue.push(2, "b1");
    queue.push(3, "c1");
    assert_eq!(queue.cancel(first), Some("a1"));
    assert_eq!(queue.cancel(only), Some("b1"));
    assert_eq!(queue.cancel(only), None);
    assert_eq!(pops(&mut queue, 9), ["a2", "c1"]);
    // Another job uses the ticket's node now.
    queue.push(4, "d1");
    assert_eq!((queue.cancel(first), queue.cancel(only)), (None, None));
    assert_eq!(pops(&mut queue, 9), ["d1"]);
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let mut queue = FairQueue::new();
    let tickets: Vec<_> = (0..10_000).map(|at| queue.push(at % 5_000, at)).collect();
    for ticket in tickets.iter().step_by(2) {
        assert!(queue.cancel(*ticket).is_some());
    }
    while queue.pop().is_some() {}
    assert!(queue.jobs.nodes.capacity() <= SPARE && queue.owners.nodes.capacity() <= SPARE);
    assert!(queue.by_key.capacity() <= 4 * SPARE);
    assert_eq!(queue.cancel(tickets[1]), None);
}

/// A simple model of the queue: the jobs of each owner, and the owners in the order of their turns.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<u32, VecDeque<u64>>,
    turns: VecDeque<u32>,
}

impl Model {
    fn push(&mut self, owner: u32, job: u64) {
        let jobs = self.jobs.entry(owner).or_default();
        if jobs.is_empty() {
            self.turns.push_back(owner);
        }
        jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<u64> {
        let owner = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&owner)?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            self.turns.push_back(owner);
        }
        job
    }

    fn cancel(&mut self, job: u64) -> bool {
        for (owner, jobs) in &mut self.jobs {
            if let Some(at) = jobs.iter().position(|it| *it == job) {
                jobs.remove(at);
                if jobs.is_empty() {
                    self.turns.retain(|it| it != owner);
                }
                return true;
            }
        }
        false
    }
}

/// Numbers that a seed determines (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn random_uses_are_fair_within_one_job() {
    let seed = std::env::var("DOHLE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    println!("DOHLE_SEED={seed}");
    let mut random = Random(seed.max(1));
    let (mut queue, mut model) = (FairQueue::new(), Model::default());
    let mut tickets: Vec<(u32, Ticket)> = Vec::new();
    // The number of turns that each owner had since another one began to wait.
    let mut turns: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for job in 0..20_000 {
        // Few owners have many jobs, and many have few.
        let owner = (random.below(5) * random.below(5)) as u32;
        match random.below(5) {
            0..2 => {
                tickets.push((owner, queue.push(owner, tickets.len() as u64)));
                model.push(owner, tickets.len() as u64 - 1);
            }
            2 if !tickets.is_empty() => {
                let cancelled = random.below(tickets.len() as u64);
                let (owner, ticket) = tickets[cancelled as usize];
                let expected = model.cancel(cancelled).then_some(cancelled);
                assert_eq!(queue.cancel(ticket), expected, "step {job}");
                if !model.turns.contains(&owner) {
                    turns.retain(|(waiting, _), _| *waiting != owner);
                }
            }
            _ => {
                let popped = queue.pop();
                assert_eq!(popped, model.pop(), "step {job}");
                let Some(popped) = popped else { continue };
                let (served, _) = tickets[popped as usize];
                turns.retain(|(waiting, _), _| *waiting != served);
                for waiting in model.turns.iter().filter(|it| **it != served) {
                    let turns = turns.entry((*waiting, served)).or_default();
                    *turns += 1;
                    assert!(*turns <= 1, "{served} overtook {waiting} twice, step {job}");
                }
            }
        }
        let waiting: usize = model.jobs.values().map(VecDeque::len).sum();
        assert_eq!(queue.len(), waiting);
    }
}
