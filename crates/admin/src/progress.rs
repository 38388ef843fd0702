//! Reports the progress of a long call to its caller.

/// Shows how many items of a long call are done.
pub trait ProgressReporter {
    /// Begins to count items until the count is dropped. `what` names the count, such as "groups
    /// deleted"; `total` is absent when the number of items is unknown.
    fn begin(&self, what: &'static str, total: Option<usize>) -> Box<dyn ItemCount>;
}

/// The count of items that are done.
pub trait ItemCount {
    /// Sets the number.
    fn set(&self, done: u64);

    /// Adds to the number.
    fn add(&self, done: usize);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl ProgressReporter for Silent {
    fn begin(&self, _what: &'static str, _total: Option<usize>) -> Box<dyn ItemCount> {
        Box::new(Self)
    }
}

impl ItemCount for Silent {
    fn set(&self, _done: u64) {}

    fn add(&self, _done: usize) {}
}

impl dyn ProgressReporter + '_ {
    /// Counts the items that are done.
    pub fn over<Items>(&self, what: &'static str, items: Items) -> Over<Items::IntoIter>
    where
        Items: IntoIterator<IntoIter: ExactSizeIterator>,
    {
        let items = items.into_iter();
        Over {
            count: self.begin(what, Some(items.len())),
            items,
            begun: false,
        }
    }
}

/// Items with a count of those that are done: an item is done when the next one is requested.
pub struct Over<Items> {
    count: Box<dyn ItemCount>,
    items: Items,
    begun: bool,
}

impl<Items: Iterator> Iterator for Over<Items> {
    type Item = Items::Item;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::replace(&mut self.begun, true) {
            self.count.add(1);
        }
        self.items.next()
    }
}
