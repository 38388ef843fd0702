//! Counts how many members name each of several texts.

use std::collections::BTreeMap;

/// Texts, such as topics or assignors, each with the number of members that name it.
///
/// Invariant: every count is above zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<String, usize>);

impl Counts {
    /// Counts one more member for a text.
    pub fn increase(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(name.to_owned(), 1)),
        }
    }

    /// Counts one member less for a text. Does nothing when no member names it.
    pub fn decrease(&mut self, name: &str) {
        if let Some(count) = self.0.get_mut(name) {
            assert!(*count > 0, "{name} is kept, and no member names it");
            *count -= 1;
            if *count == 0 {
                self.0.remove(name);
            }
        }
    }

    /// How many members name a text.
    pub fn get(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Whether any member names a text.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// How many texts members name.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The texts that members name, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
