//! A queue of jobs that is fair between their owners. Pure.
//!
//! Owners with waiting jobs form a ring. Each turn takes one job of the first owner, its oldest,
//! and moves the owner to the end of the ring. So an owner with one job waits for at most one job
//! of each other owner, however many they have queued.
//!
//! Each operation takes constant time. The memory is in proportion to the jobs that wait.

use std::collections::HashMap;
use std::hash::Hash;

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    at: usize,
    number: u64,
}

/// See the module.
///
/// Invariant: an owner is in the ring if and only if it has waiting jobs.
#[derive(Debug)]
pub(super) struct FairQueue<K, T> {
    jobs: Lists<Job<T>>,
    owners: Lists<Owner<K>>,
    /// The owners, in the order of their turns.
    ring: List,
    by_key: HashMap<K, usize>,
    next_number: u64,
}

#[derive(Debug)]
struct Job<T> {
    value: T,
    owner: usize,
    number: u64,
}

#[derive(Debug)]
struct Owner<K> {
    key: K,
    jobs: List,
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    pub(super) fn new() -> Self {
        Self {
            jobs: Lists::new(),
            owners: Lists::new(),
            ring: List::default(),
            by_key: HashMap::new(),
            next_number: 0,
        }
    }

    /// Adds a job after the other jobs of its owner.
    pub(super) fn push(&mut self, key: K, value: T) -> Ticket {
        let owner = match self.by_key.get(&key) {
            Some(owner) => *owner,
            None => {
                let jobs = List::default();
                let owner = self.owners.push_back(&mut self.ring, Owner { key, jobs });
                self.by_key.insert(key, owner);
                owner
            }
        };
        let number = self.next_number;
        self.next_number += 1;
        let job = Job {
            value,
            owner,
            number,
        };
        let jobs = &mut self.owners.get_mut(owner).jobs;
        let at = self.jobs.push_back(jobs, job);
        Ticket { at, number }
    }

    /// Takes the job whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let owner = self.ring.first?;
        let at = self.owners.get(owner).jobs.first;
        let at = at.expect("an owner in the ring has a job");
        let of = self.jobs.get(at).owner;
        assert_eq!(of, owner, "owner of the first job of an owner");
        let job = self.take(at);
        if self.ring.first == Some(owner) {
            self.owners.move_to_back(&mut self.ring, owner);
        }
        Some(job)
    }

    /// Takes a job out of the queue. Returns `None` when the job is not in the queue any more.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let job = self.jobs.find(ticket.at)?;
        (job.number == ticket.number).then(|| self.take(ticket.at))
    }

    fn check(&self) {
        let (jobs, owners, names) = (self.jobs.len, self.owners.len, self.by_key.len());
        assert!(owners == names, "{owners} owners, {names} by name");
        assert!(owners <= jobs, "{owners} owners of {jobs} jobs");
        assert!(
            self.ring.first.is_some() == (jobs > 0),
            "{jobs} jobs wait, the first owner is {:?}",
            self.ring.first
        );
    }

    /// Jobs that wait.
    pub(super) fn len(&self) -> usize {
        self.jobs.len
    }

    fn take(&mut self, at: usize) -> T {
        let owner = self.jobs.get(at).owner;
        let jobs = &mut self.owners.get_mut(owner).jobs;
        let job = self.jobs.remove(jobs, at);
        if jobs.first.is_none() {
            let gone = self.owners.remove(&mut self.ring, owner);
            self.by_key.remove(&gone.key);
        }
        self.check();
        if self.jobs.len == 0 {
            // Releases the memory that a burst needed.
            self.by_key.shrink_to(SPARE);
        }
        job.value
    }
}

/// The ends of one doubly linked list of [`Lists`].
#[derive(Debug, Clone, Copy, Default)]
struct List {
    first: Option<usize>,
    last: Option<usize>,
}

/// Values in doubly linked lists, whose nodes share one vector.
#[derive(Debug)]
struct Lists<T> {
    nodes: Vec<Option<Node<T>>>,
    free: Vec<usize>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    before: Option<usize>,
    after: Option<usize>,
}

/// Nodes that are kept when nothing waits.
const SPARE: usize = 64;

impl<T> Lists<T> {
    fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    fn find(&self, at: usize) -> Option<&T> {
        self.nodes.get(at)?.as_ref().map(|node| &node.value)
    }

    fn node(&mut self, at: usize) -> &mut Node<T> {
        self.nodes[at].as_mut().expect("the node is in a list")
    }

    fn get(&self, at: usize) -> &T {
        self.find(at).expect("the node is in a list")
    }

    fn get_mut(&mut self, at: usize) -> &mut T {
        &mut self.node(at).value
    }

    fn push_back(&mut self, list: &mut List, value: T) -> usize {
        let node = Some(Node {
            value,
            before: None,
            after: None,
        });
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.len += 1;
        assert_eq!(
            self.len + self.free.len(),
            self.nodes.len(),
            "nodes that are in a list or free"
        );
        self.link(list, at);
        at
    }

    fn remove(&mut self, list: &mut List, at: usize) -> T {
        self.unlink(list, at);
        let node = self.nodes[at].take().expect("the node is in a list");
        assert!(self.len > 0, "a node is removed from empty lists");
        self.len -= 1;
        if self.len == 0 && self.nodes.len() > SPARE {
            (self.nodes, self.free) = (Vec::new(), Vec::new());
        } else {
            self.free.push(at);
        }
        node.value
    }

    fn move_to_back(&mut self, list: &mut List, at: usize) {
        self.unlink(list, at);
        self.link(list, at);
    }

    fn link(&mut self, list: &mut List, at: usize) {
        let last = list.last.replace(at);
        let node = self.node(at);
        (node.before, node.after) = (last, None);
        match last {
            Some(last) => self.node(last).after = Some(at),
            None => list.first = Some(at),
        }
    }

    fn unlink(&mut self, list: &mut List, at: usize) {
        let node = self.node(at);
        let (before, after) = (node.before, node.after);
        match before {
            Some(before) => self.node(before).after = after,
            None => list.first = after,
        }
        match after {
            Some(after) => self.node(after).before = before,
            None => list.last = before,
        }
    }
}

#[cfg(test)]
mod tests;
