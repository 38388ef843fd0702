//! How often each kind of event happens in one run. Runs differ: some have no elections, and some
//! have many, so that rare orders of events become frequent in a few runs.

use dohle_storage::simulated::Random;

#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// A message arrives.
    Deliver,
    /// The followers of a partition copy from its leader.
    Replicate,
    /// A client acts.
    Client,
    /// A broker works for its shards: loads, timers, markers.
    Shards,
    /// A broker learns what the controller has decided about a partition.
    Learn,
    ExpandIsr,
    Elect,
    PassTime,
    /// Somebody waits no longer for a commit.
    LosePatience,
    /// A log is flushed, or begins a segment.
    Upkeep,
    /// A broker dies.
    Stop,
    Start,
    /// A consumer reads a partition.
    Read,
}

#[derive(Debug)]
pub struct Mood {
    weights: Vec<(Event, u64)>,
    /// One message in so many is lost or late, one is repeated, and one is delayed.
    pub lost_one_in: u64,
    /// The most events for which a delayed message, or a copy of a lost one, is on its way.
    pub delay_max: u64,
    /// One decision (see [`super::messages::Message::is_decision`]) in so many is delayed, beside
    /// the messages above.
    pub decision_delayed_one_in: u64,
    /// Whether delayed decisions arrive as soon as they can do harm: in the producer's next
    /// transaction, or after the end of theirs.
    pub is_adverse: bool,
    /// For one delayed decision in so many another leader is elected meanwhile.
    pub leader_moves_one_in: u64,
    /// One client in so many aborts its transaction while batches of it are on their way.
    pub aborts_in_flight_one_in: u64,
}

impl Mood {
    pub fn new(random: &mut Random) -> Self {
        let mut one_of = |weights: &[u64]| weights[random.below(weights.len() as u64) as usize];
        let weights = vec![
            (Event::Deliver, 420),
            (Event::Replicate, 200),
            (Event::Client, 160),
            (Event::Shards, 100),
            (Event::Learn, one_of(&[15, 60, 120])),
            (Event::ExpandIsr, 15),
            (Event::Elect, one_of(&[0, 5, 5, 30])),
            (Event::PassTime, one_of(&[1, 6, 6, 30])),
            (Event::LosePatience, one_of(&[0, 6, 20])),
            (Event::Upkeep, 14),
            (Event::Stop, one_of(&[0, 1, 2, 5])),
            (Event::Start, 8),
            (Event::Read, 14),
        ];
        Self {
            weights,
            lost_one_in: one_of(&[5, 20, 20, 1_000]),
            delay_max: one_of(&[20, 80, 300]),
            decision_delayed_one_in: one_of(&[4, 12, 1_000]),
            is_adverse: one_of(&[0, 1, 1]) == 1,
            leader_moves_one_in: one_of(&[2, 4, 1_000]),
            aborts_in_flight_one_in: one_of(&[3, 10, 40]),
        }
    }

    /// The next event.
    pub fn pick(&self, random: &mut Random) -> Event {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = random.below(total);
        for (event, weight) in &self.weights {
            if at < *weight {
                return *event;
            }
            at -= weight;
        }
        unreachable!("a number below the sum of all weights")
    }
}
