//! Metrics: the table of Kafka's MBeans, the rules that name series after them, and their text; the
//! [`loggers`], with levels that can be changed at run time; and what happened lately
//! ([`history`]).
//!
//! ```text
//! Collect (in the crate that has the numbers) ─▶ Sample ─▶ Rules of jmx_exporter ─▶ Family ─▶ text
//! ```
//!
//! A crate that measures something implements [`Collect`] and is passed to who renders the metrics
//! as a value. Internally metrics are attributes of Kafka's MBeans ([`mbeans`]); their names in
//! Prometheus are made by the rules of a file of jmx_exporter ([`rules`]), or by the built-in one.
//! Metrics that no MBean of Kafka has are series of their own ([`native`]). Those that clients push
//! have the names that clients give them.
//!
//! Pure: numbers and names arrive as arguments.
//!
//! Invariant: there is no registry of the process; each node has its own values.

mod counter;
#[cfg(test)]
mod documented;
mod family;
mod histogram;
pub mod history;
pub mod loggers;
pub mod mbeans;
pub mod native;
mod object_name;
pub mod rules;
mod scrape;
pub mod text;

pub use counter::{Counter, Sharded};
pub use family::{Family, Kind, Point};
pub use histogram::{Histograms, RecentPercentiles, Recorded};
pub use mbeans::MBean;
pub use native::NativeMetric;
pub use rules::Rules;
pub use scrape::Scrape;

/// The value of an attribute, as JMX types it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `java.lang.Long` and `java.lang.Integer`.
    Long(i64),
    /// `java.lang.Double`.
    Double(f64),
    /// `java.lang.String`. Only rules with a `value` make a series of it.
    Text(&'a str),
}

/// A number that Java's `Long` cannot hold becomes the largest that it can.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Long(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

/// One value at the time of a scrape.
#[derive(Debug, Clone, Copy)]
pub enum Sample<'a> {
    /// An attribute of an MBean.
    Attribute {
        /// The row of the table.
        bean: &'static MBean,
        /// The values of the variable properties of its name, in order.
        keys: &'a [&'a str],
        /// The attribute.
        attribute: &'static str,
        /// Its value.
        value: Value<'a>,
    },
    /// A metric that is not an MBean's.
    Native {
        /// The row of the table.
        metric: &'static NativeMetric,
        /// The values of its labels, in order.
        labels: &'a [&'a str],
        /// Its value.
        value: f64,
    },
    /// A number that a client has pushed (KIP-714). Families of the node hide those of clients that
    /// have the same name.
    Pushed {
        /// The name of the family, which is valid and without the suffix `_total` of counters.
        name: &'a str,
        /// The type.
        kind: Kind,
        /// The name that the client gave the metric.
        origin: &'a str,
        /// The labels: names, which are valid and different, and values.
        labels: &'a [(&'a str, &'a str)],
        /// Its value.
        value: f64,
    },
}

/// Reports the metrics of one part of a node.
pub trait Collect {
    /// Passes each current value to `out`.
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>));
}
