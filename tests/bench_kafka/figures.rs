//! The figures that are taken: their names, units and which direction is better.
//!
//! Pure.

use serde::Serialize;

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Larger ones: a rate.
    More,
    /// Smaller ones: a cost.
    Less,
    /// None: the value explains others, and two systems cannot be compared by it.
    Neither,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was run.
    pub workload: &'static str,
    /// What was measured.
    pub name: &'static str,
    /// The unit of the value.
    pub unit: &'static str,
    /// Which values are better.
    pub better: Better,
    /// The value.
    pub value: f64,
}

/// The figures of one run.
#[derive(Debug, Default)]
pub struct Figures {
    /// In the order in which they were taken.
    pub all: Vec<Figure>,
    /// What makes some of them doubtful, in sentences.
    pub notes: Vec<String>,
}

/// The figures of one workload.
#[derive(Debug)]
pub struct OfWorkload<'a> {
    workload: &'static str,
    figures: &'a mut Figures,
}

impl Figures {
    /// Returns a place for the figures of a workload.
    pub fn of(&mut self, workload: &'static str) -> OfWorkload<'_> {
        OfWorkload {
            workload,
            figures: self,
        }
    }
}

impl OfWorkload<'_> {
    /// Adds a cost: less is better.
    pub fn cost(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.push(name, unit, Better::Less, value);
    }

    /// Adds a rate: more is better.
    pub fn rate(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.push(name, unit, Better::More, value);
    }

    /// Adds a value that explains others.
    pub fn context(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.push(name, unit, Better::Neither, value);
    }

    /// Adds what makes the figures of this workload doubtful.
    pub fn note(&mut self, text: &str) {
        self.figures
            .notes
            .push(format!("{}: {text}", self.workload));
    }

    fn push(&mut self, name: &'static str, unit: &'static str, better: Better, value: f64) {
        self.figures.all.push(Figure {
            workload: self.workload,
            name,
            unit,
            better,
            value,
        });
    }
}
