//! Random interleavings of a move with appends, elections, truncations, deletions, stale reads,
//! promises and crashes.

use std::collections::BTreeMap;

use super::*;

const START: Offset = Offset::ZERO;

/// The epochs of the records from `start` on. Compaction is not modelled: gaps change nothing that
/// this core sees.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelLog {
    start: i64,
    epochs: Vec<i32>,
    /// The offset below which a crash of the machine loses nothing.
    synced: i64,
}

impl ModelLog {
    fn new(start: i64) -> Self {
        Self {
            start,
            epochs: Vec::new(),
            synced: start,
        }
    }

    fn end(&self) -> i64 {
        self.start + self.epochs.len() as i64
    }

    fn extent(&self) -> Extent {
        Extent {
            start: Offset(self.start),
            end: Offset(self.end()),
        }
    }

    fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.last().map(|epoch| LeaderEpoch(*epoch))
    }

    /// Returns the largest epoch that is not above this one, and its end.
    fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let count = self.epochs.partition_point(|it| *it <= epoch.0);
        let last = self.epochs[..count].last()?;
        Some((LeaderEpoch(*last), Offset(self.start + count as i64)))
    }

    fn truncate(&mut self, to: i64) {
        let to = to.clamp(self.start, self.end());
        self.epochs.truncate((to - self.start) as usize);
        self.synced = self.synced.min(to);
    }

    fn advance(&mut self, start: i64) {
        let start = start.clamp(self.start, self.end());
        self.epochs.drain(..(start - self.start) as usize);
        self.start = start;
        self.synced = self.synced.max(start);
    }

    fn crash(&mut self, random: &mut Random) {
        let kept = self.synced + random.below((self.end() - self.synced + 1) as u64) as i64;
        self.truncate(kept);
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

struct Model {
    current: ModelLog,
    copy: ModelLog,
    epoch: i32,
    core: DirMove,
    /// Records that were read and not appended to the copy yet, with their offset and the end of
    /// the log when they were read.
    read: Option<(i64, Vec<i32>, i64)>,
    /// Whether a promise was requested, and whether it is in the metadata.
    asked: bool,
    promised: bool,
    counts: BTreeMap<&'static str, usize>,
}

impl Model {
    fn new() -> Self {
        Self {
            current: ModelLog::new(0),
            copy: ModelLog::new(0),
            epoch: 0,
            core: DirMove::default(),
            read: None,
            asked: false,
            promised: false,
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn view(&self) -> MoveView {
        MoveView {
            current: self.current.extent(),
            copy: self.copy.extent(),
            common_end: common_end(
                self.copy.extent(),
                self.copy.last_epoch(),
                |epoch| self.current.end_of(epoch),
                |epoch| self.copy.end_of(epoch),
            ),
            is_promised: self.promised,
        }
    }

    /// Something happens to the replica's log.
    fn disturb(&mut self, random: &mut Random) {
        match random.below(12) {
            0..5 => {
                let records = 1 + random.below(4) as usize;
                self.current.epochs.extend(vec![self.epoch; records]);
                if random.below(2) == 0 {
                    self.current.synced = self.current.end();
                }
            }
            5 => self.epoch += 1 + random.below(2) as i32,
            6 => {
                // A follower truncates to its leader's log; the leader's epoch is newer.
                let end = self.current.end();
                self.current.truncate(end - random.below(6) as i64);
                self.epoch += 1;
                self.count("truncation");
            }
            7 => {
                let start = self.current.start + random.below(4) as i64;
                self.current.advance(start);
            }
            8 if random.below(4) == 0 => {
                // The log has nothing in common with its leader's.
                self.current = ModelLog::new(self.current.end() + random.below(3) as i64);
                self.epoch += 1;
                self.count("begun anew");
            }
            9 => {
                self.current.crash(random);
                self.copy.crash(random);
                (self.core, self.read, self.asked) = (DirMove::default(), None, false);
                self.epoch += 1;
                self.count("crash");
            }
            10 => self.copy.synced = self.copy.end(),
            _ => self.commit_promise(),
        }
    }

    fn commit_promise(&mut self) {
        self.promised |= self.asked;
    }

    /// Appends what was read, if it follows the copy.
    fn append(&mut self, random: &mut Random) {
        let Some((from, epochs, end)) = self.read.take() else {
            return;
        };
        let is_older = |epoch: &i32| self.copy.last_epoch().is_some_and(|last| *epoch < last.0);
        if from != self.copy.end() || epochs.first().is_some_and(is_older) {
            return;
        }
        // A crash during the write leaves any part of it.
        if random.below(20) == 0 {
            let part = random.below(epochs.len() as u64 + 1) as usize;
            self.copy.epochs.extend(&epochs[..part]);
            self.copy.crash(random);
            self.core = DirMove::default();
            self.asked = false;
            return;
        }
        self.copy.epochs.extend(&epochs);
        let reached = self.copy.end() >= end;
        self.core.on_copied(reached);
    }

    /// Makes one step of the move. Returns whether the logs were swapped.
    fn step(&mut self, random: &mut Random) -> bool {
        if self.read.is_some() {
            self.append(random);
            return false;
        }
        match self.core.next(&self.view()) {
            MoveStep::Begin(offset) => {
                self.copy = ModelLog::new(offset.0);
                self.count("begin");
            }
            MoveStep::Truncate(offset) => {
                assert!(START <= offset && offset.0 < self.copy.end());
                self.copy.truncate(offset.0);
                self.count("truncate");
            }
            MoveStep::AdvanceStart(offset) => self.copy.advance(offset.0),
            MoveStep::Copy(from) => {
                let end = self.current.end();
                let skip = (from.0 - self.current.start) as usize;
                let max = 1 + random.below(5) as usize;
                let read = self.current.epochs[skip..]
                    .iter()
                    .take(max)
                    .copied()
                    .collect();
                self.read = Some((from.0, read, end));
            }
            MoveStep::Promise => self.asked = true,
            MoveStep::Wait => {}
            MoveStep::Swap => return self.swap(random),
        }
        false
    }

    fn swap(&mut self, random: &mut Random) -> bool {
        // The log may change between the decision and the partition's lock.
        if random.below(3) == 0 {
            self.disturb(random);
        }
        let from = self.copy.end();
        if (self.current.start..=self.current.end()).contains(&from) && random.below(3) > 0 {
            let rest = self.current.epochs[(from - self.current.start) as usize..].to_vec();
            self.copy.epochs.extend(rest);
        }
        if !may_swap(&self.view()) {
            self.core.on_not_swapped();
            self.count("not swapped");
            return false;
        }
        true
    }
}

#[test]
fn a_move_ends_with_the_same_log_whatever_happens_meanwhile() {
    let seed = std::env::var("DOHLE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for run in seed..seed + 2_000 {
        let mut random = Random(run.wrapping_mul(0x9E37_79B9_7F4A_7C15).max(1));
        let mut model = Model::new();
        let mut swapped = false;
        for _ in 0..random.below(200) {
            match random.below(2) {
                0 => model.disturb(&mut random),
                _ => swapped = model.step(&mut random),
            }
            if swapped {
                break;
            }
        }
        // Nothing disturbs the move any more: it ends.
        let mut steps = 0;
        while !swapped {
            steps += 1;
            assert!(
                steps < 2_000,
                "DOHLE_SEED={run}: the move does not end: {:?}",
                model.view()
            );
            model.commit_promise();
            swapped = model.step(&mut random);
        }
        let (current, copy) = (&model.current, &model.copy);
        let same = current.start == copy.start && current.epochs == copy.epochs;
        assert!(
            same && model.promised,
            "DOHLE_SEED={run}: {current:?} was replaced by {copy:?}"
        );
        for (what, count) in model.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    let rare: Vec<_> = counts.iter().filter(|(_, count)| **count < 100).collect();
    assert!(counts.len() == 6 && rare.is_empty(), "{counts:?}");
}

#[test]
fn a_move_asks_once_and_swaps_only_what_is_promised() {
    let extent = |start, end| Extent {
        start: Offset(start),
        end: Offset(end),
    };
    let view = |copy_end, is_promised| MoveView {
        current: extent(0, 10),
        copy: extent(0, copy_end),
        common_end: Offset(copy_end),
        is_promised,
    };
    let mut core = DirMove::default();
    assert_eq!(core.next(&view(0, true)), MoveStep::Copy(Offset(0)));
    assert!(!core.has_asked());
    core.on_copied(true);
    // New records do not delay the promise.
    assert_eq!(core.next(&view(9, false)), MoveStep::Promise);
    assert!(core.has_asked());
    assert_eq!(core.next(&view(9, false)), MoveStep::Copy(Offset(9)));
    assert_eq!(core.next(&view(10, false)), MoveStep::Wait);
    assert_eq!(core.next(&view(9, true)), MoveStep::Swap);
    assert!(!may_swap(&view(9, true)) && !may_swap(&view(10, false)));
    assert!(may_swap(&view(10, true)));
    let truncated = MoveView {
        common_end: Offset(7),
        ..view(10, true)
    };
    assert!(!may_swap(&truncated));
    assert_eq!(core.next(&truncated), MoveStep::Truncate(Offset(7)));
    let started = MoveView {
        current: extent(4, 10),
        ..view(10, true)
    };
    assert!(!may_swap(&started));
    assert_eq!(core.next(&started), MoveStep::AdvanceStart(Offset(4)));
    let overtaken = MoveView {
        current: extent(20, 30),
        ..view(10, true)
    };
    assert_eq!(core.next(&overtaken), MoveStep::Begin(Offset(20)));
}
