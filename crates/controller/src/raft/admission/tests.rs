//! Tests of each decision, and random wipes and restarts of a whole quorum that follows them.

use std::collections::BTreeMap;

use super::*;

fn report(standing: Standing) -> Report {
    Report {
        standing,
        formatted: false,
        leads: false,
    }
}

fn others<const N: usize>(reports: [Option<Report>; N]) -> BTreeMap<u64, Option<Report>> {
    (2..).zip(reports).collect()
}

const EMPTY: Standing = Standing::Empty;
const MEMBER: Standing = Standing::Member;

fn formatted() -> Report {
    Report {
        formatted: true,
        ..report(EMPTY)
    }
}

#[track_caller]
fn waits(own: Report, others: &BTreeMap<u64, Option<Report>>) -> Waiting {
    match decide(own, others) {
        Decision::Wait(waiting) => waiting,
        decision => panic!("{decision:?}"),
    }
}

#[test]
fn only_voters_that_hold_what_they_acknowledged_take_part() {
    assert!(!EMPTY.takes_part() && !Standing::Unproven.takes_part());
    assert!(MEMBER.takes_part() && Standing::Founding.takes_part());
    for standing in [MEMBER, Standing::Founding] {
        assert_eq!(
            decide(report(standing), &others([None, None])),
            Decision::TakePart
        );
    }
}

#[test]
fn a_new_cluster_forms_when_every_voter_has_reported_that_it_is_empty() {
    let own = report(EMPTY);
    let one = Some(report(EMPTY));
    let waiting = waits(own, &others([one, None]));
    assert_eq!(waiting.silent, [3].into());
    assert!(!waiting.majority_lost);
    assert_eq!(decide(own, &others([one, one])), Decision::Found);
    let founding = Some(report(Standing::Founding));
    assert_eq!(decide(own, &others([one, founding])), Decision::Found);
    assert_eq!(decide(own, &BTreeMap::new()), Decision::Found, "alone");
}

#[test]
fn a_new_cluster_forms_when_an_operator_formatted_a_majority() {
    let one = Some(formatted());
    assert_eq!(decide(formatted(), &others([one, None])), Decision::Found);
    waits(formatted(), &others([None, None]));
    // Automatic formatting at start proves nothing: such a voter may have had metadata.
    waits(formatted(), &others([Some(report(EMPTY)), None]));
    waits(report(EMPTY), &others([one, None]));
    // One voter has metadata after all.
    waits(formatted(), &others([one, Some(report(MEMBER))]));
    waits(
        formatted(),
        &others([one, Some(report(Standing::Unproven))]),
    );
}

#[test]
fn an_empty_voter_waits_for_the_leader_of_those_that_hold_metadata() {
    let own = report(EMPTY);
    let member = Some(report(MEMBER));
    let waiting = waits(own, &others([member, None]));
    assert_eq!(
        (waiting.holding, waiting.majority_lost),
        ([2].into(), false)
    );
    assert!(!waits(own, &others([member, member])).majority_lost);
    let leader = Some(Report {
        leads: true,
        ..report(MEMBER)
    });
    assert_eq!(decide(own, &others([None, leader])), Decision::FillFrom(3));
    let unproven = report(Standing::Unproven);
    assert_eq!(
        decide(unproven, &others([None, leader])),
        Decision::FillFrom(3)
    );
    waits(
        unproven,
        &others([Some(report(EMPTY)), Some(report(EMPTY))]),
    );
}

#[test]
fn the_loss_of_a_majority_is_reported_by_all_that_observe_it() {
    let empty = Some(report(EMPTY));
    let member = Some(report(MEMBER));
    assert!(waits(report(EMPTY), &others([empty, member])).majority_lost);
    assert!(waiting(report(MEMBER), &others([empty, empty])).majority_lost);
    assert!(!waiting(report(MEMBER), &others([empty, None])).majority_lost);
    assert!(!waits(report(EMPTY), &others([empty, None])).majority_lost);
}

/// A generator of random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let product = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((product >> 33) as usize) % end
    }
}

#[derive(Debug, Clone, Default)]
struct Disk {
    admitted: bool,
    voted: u64,
    /// (term, number) of each entry.
    log: Vec<(u64, u32)>,
}

/// Voters that follow the decisions, with elections as Raft has them.
struct Quorum {
    disks: Vec<Disk>,
    runs: Vec<bool>,
    leader: Option<(usize, u64)>,
    committed: Vec<(u64, u32)>,
    entries: u32,
}

impl Quorum {
    fn new(voters: usize) -> Self {
        Self {
            disks: vec![Disk::default(); voters],
            runs: vec![true; voters],
            leader: None,
            committed: Vec::new(),
            entries: 0,
        }
    }

    fn majority(&self, count: usize) -> bool {
        count * 2 > self.disks.len()
    }

    fn report(&self, id: usize) -> Report {
        let disk = &self.disks[id];
        let standing = match (disk.admitted, disk.log.is_empty()) {
            (true, true) => Standing::Founding,
            (true, false) => MEMBER,
            (false, true) => EMPTY,
            (false, false) => Standing::Unproven,
        };
        Report {
            standing,
            formatted: false,
            leads: self.leader.is_some_and(|(leader, _)| leader == id),
        }
    }

    /// Returns the voters that run and take part.
    fn able(&self) -> Vec<usize> {
        let all = 0..self.disks.len();
        all.filter(|id| self.runs[*id] && self.report(*id).standing.takes_part())
            .collect()
    }

    fn ask(&mut self, id: usize) {
        let others = (0..self.disks.len()).filter(|other| *other != id);
        let answer = |other: usize| self.runs[other].then(|| self.report(other));
        let others = others.map(|other| (other as u64, answer(other))).collect();
        match decide(self.report(id), &others) {
            Decision::Found => {
                assert!(
                    self.disks.iter().all(|disk| disk.log.is_empty()),
                    "a cluster is founded beside metadata: {:?}",
                    self.disks
                );
                self.committed.clear();
                self.disks[id].admitted = true;
            }
            Decision::FillFrom(leader) => self.fill(id, leader as usize),
            Decision::TakePart | Decision::Wait(_) => {}
        }
    }

    fn fill(&mut self, id: usize, leader: usize) {
        if !self.append(leader) {
            return;
        }
        self.disks[id].log = self.disks[leader].log.clone();
        self.disks[id].voted = self.disks[leader].voted;
        self.disks[id].admitted = true;
    }

    fn elect(&mut self, id: usize) {
        let able = self.able();
        if !able.contains(&id) {
            return;
        }
        let term = able
            .iter()
            .map(|id| self.disks[*id].voted)
            .max()
            .unwrap_or(0)
            + 1;
        let last = |id: usize| (self.disks[id].log.last().copied(), self.disks[id].log.len());
        let granted: Vec<usize> = able
            .into_iter()
            .filter(|other| last(*other) <= last(id))
            .collect();
        for other in &granted {
            self.disks[*other].voted = term;
        }
        if self.majority(granted.len()) {
            self.leader = Some((id, term));
            assert!(
                self.disks[id].log.starts_with(&self.committed),
                "voter {id} leads without what was committed: {:?}, {:?}",
                self.disks[id].log,
                self.committed
            );
        }
    }

    /// Appends an entry as the leader. Returns whether it is committed.
    fn append(&mut self, leader: usize) -> bool {
        let term = self.disks[leader].voted;
        self.entries += 1;
        let entry = (term, self.entries);
        self.disks[leader].log.push(entry);
        let log = self.disks[leader].log.clone();
        let able = self.able();
        for other in &able {
            self.disks[*other].log = log.clone();
            self.disks[*other].voted = term;
        }
        let committed = self.majority(able.len());
        if committed {
            self.committed = log;
        }
        committed
    }

    fn stop(&mut self, id: usize) {
        self.runs[id] = false;
        if self.leader.is_some_and(|(leader, _)| leader == id) {
            self.leader = None;
        }
    }
}

/// A committed entry always has a holder among the voters that may lead, whichever voters are
/// stopped, wiped and started, and no cluster is founded beside an existing one.
#[test]
fn random_wipes_and_restarts_lose_nothing_that_a_disk_still_holds() {
    let seed = std::env::var("DOHLE_SEED").ok();
    let seed = seed.map_or(7, |seed| seed.parse().expect("a number"));
    eprintln!("DOHLE_SEED={seed}");
    let mut random = Random(seed);
    let (mut elections, mut fills) = (0, 0);
    for round in 0..400 {
        let voters = if round % 3 == 0 { 5 } else { 3 };
        let mut quorum = Quorum::new(voters);
        for _ in 0..200 {
            let id = random.below(voters);
            match random.below(12) {
                0 => quorum.stop(id),
                // A voter notices a wipe at its start, having lost what it stored.
                1 if !quorum.runs[id] => quorum.disks[id] = Disk::default(),
                2 | 3 => quorum.runs[id] = true,
                4..=7 if quorum.runs[id] => {
                    let before = quorum.disks[id].admitted;
                    quorum.ask(id);
                    let disk = &quorum.disks[id];
                    fills += usize::from(!before && disk.admitted && !disk.log.is_empty());
                }
                8 | 9 if quorum.leader.is_none() => {
                    quorum.elect(id);
                    elections += usize::from(quorum.leader.is_some());
                }
                10 | 11 => {
                    if let Some((leader, _)) = quorum.leader {
                        quorum.append(leader);
                    }
                }
                _ => {}
            }
        }
    }
    assert!(
        elections > 400 && fills > 100,
        "{elections} elections, {fills} fills"
    );
}
