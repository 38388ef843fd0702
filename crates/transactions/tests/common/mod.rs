//! A machine that is driven without a runtime, and an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use dohle_machine::{LogRecord as _, Machine as _};
use dohle_model::image::MetadataImage;
use dohle_model::{Offset, Timestamp, Uuid};
use dohle_transactions::{
    Effects, Step, TransactionConfig, TransactionMachine, TransactionVersion,
};

/// What this thread has allocated.
#[derive(Debug, Clone, Copy)]
pub struct Allocated {
    /// Bytes that are not freed.
    pub live: i64,
    /// All bytes ever.
    pub total: i64,
}

thread_local! {
    static ALLOCATED: Cell<Allocated> = const { Cell::new(Allocated { live: 0, total: 0 }) };
}

/// What this thread has allocated so far.
pub fn allocated() -> Allocated {
    ALLOCATED.get()
}

struct Counting;

fn count(bytes: usize, freed: usize) {
    let (bytes, freed) = (bytes as i64, freed as i64);
    // Fails only while the thread ends.
    let _ = ALLOCATED.try_with(|allocated| {
        let before = allocated.get();
        allocated.set(Allocated {
            live: before.live + bytes - freed,
            total: before.total + bytes,
        });
    });
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A machine with metadata and a clock.
#[derive(Debug)]
pub struct Driver {
    pub machine: TransactionMachine,
    pub image: MetadataImage,
    pub config: TransactionConfig,
    pub wall: Timestamp,
    end: i64,
}

impl Driver {
    pub fn new() -> Self {
        let mut image = MetadataImage::default();
        let version = i16::from(TransactionVersion::V2.level());
        let feature = TransactionVersion::FEATURE.to_owned();
        image.features.insert(feature, version);
        Self {
            machine: TransactionMachine::default(),
            image,
            config: TransactionConfig {
                transaction_max_timeout: Duration::from_secs(900),
                transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
                two_phase_commit_enable: false,
                record_bytes_max: 1 << 20,
            },
            wall: Timestamp(1_000_000),
            end: 0,
        }
    }

    /// A step, whose records are replayed. Returns how many there were, and the bytes that planning
    /// and replaying have allocated.
    pub fn step<R>(
        &mut self,
        plan: impl FnOnce(&mut TransactionMachine, &mut Step<'_>) -> R,
    ) -> (R, usize, i64) {
        let before = allocated().total;
        let mut step = Step {
            now: Duration::from_secs(5),
            wall: self.wall,
            image: &self.image,
            config: &self.config,
            fresh: Uuid([0; 16]),
            lookups: None,
            unresolved: Vec::new(),
            effects: Effects::default(),
        };
        let reply = plan(&mut self.machine, &mut step);
        let records = step.effects.records;
        let count = records.len();
        let subjects = records.iter().map(|record| record.subject().clone());
        let subjects = subjects.collect();
        for record in records {
            self.machine.replay(record);
            self.end += 1;
        }
        self.machine.on_appended(subjects, Offset(self.end));
        (reply, count, allocated().total - before)
    }
}
