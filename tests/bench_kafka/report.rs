//! The report: every value for JSON, and a table in Markdown with medians and ratios.
//!
//! Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::figures::{Better, Figure};
use crate::plan::Side;
use crate::statistics::{self, Ratio};
use dohle_tests::random::Random;

/// The figures that one round took of each side.
pub type Round = BTreeMap<Side, Vec<Figure>>;

/// The values of one figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was run.
    pub workload: &'static str,
    /// What was measured.
    pub figure: &'static str,
    /// The unit of the values.
    pub unit: &'static str,
    /// Which values are better.
    pub better: Better,
    /// The values of each side, in the order of the rounds.
    pub values: BTreeMap<Side, Vec<f64>>,
    /// Dohle divided by each other side. Divided by the control, its distance from 1 is noise.
    pub ratios: BTreeMap<Side, Ratio>,
}

impl Row {
    /// Returns the median of a side.
    fn median(&self, side: Side) -> Option<f64> {
        statistics::median(self.values.get(&side)?)
    }
}

/// Returns the rows of the report, in the order in which the figures were first taken.
pub fn rows(rounds: &[Round], random: &mut Random) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for figure in rounds.iter().flat_map(BTreeMap::values).flatten() {
        let is_new = |row: &Row| row.workload != figure.workload || row.figure != figure.name;
        if rows.iter().all(is_new) {
            rows.push(row(figure, rounds, random));
        }
    }
    rows
}

fn row(figure: &Figure, rounds: &[Round], random: &mut Random) -> Row {
    let value = |round: &Round, side: Side| {
        let same = |other: &&Figure| other.workload == figure.workload && other.name == figure.name;
        Some(round.get(&side)?.iter().find(same)?.value)
    };
    let mut row = Row {
        workload: figure.workload,
        figure: figure.name,
        unit: figure.unit,
        better: figure.better,
        values: BTreeMap::new(),
        ratios: BTreeMap::new(),
    };
    for side in Side::ALL {
        let values = rounds.iter().filter_map(|round| value(round, side));
        let values: Vec<f64> = values.collect();
        if !values.is_empty() {
            row.values.insert(side, values);
        }
        if side == Side::Dohle || figure.better == Better::Neither {
            continue;
        }
        let pair = |round| Some((value(round, Side::Dohle)?, value(round, side)?));
        let pairs: Vec<(f64, f64)> = rounds.iter().filter_map(pair).collect();
        if let Some(ratio) = statistics::ratio(&pairs, random) {
            row.ratios.insert(side, ratio);
        }
    }
    row
}

/// Returns the table in Markdown.
pub fn markdown(rows: &[Row], other: &str) -> String {
    let mut text = format!(
        "| Workload | Figure | Unit | Dohle | {other} | floor | Dohle ÷ {other} | Dohle ÷ floor \
         | Dohle ÷ Dohle |\n|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let median = |side| row.median(side).map_or(String::new(), number);
        let ratio = |side| row.ratios.get(&side).map_or(String::new(), ratio);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.workload,
            row.figure,
            row.unit,
            median(Side::Dohle),
            median(Side::Other),
            median(Side::Floor),
            ratio(Side::Other),
            ratio(Side::Floor),
            ratio(Side::Control),
        )
        .expect("a string can be written to");
    }
    text
}

/// Returns the floors as a table in Markdown.
pub fn floors(figures: &[Figure]) -> String {
    let mut text = "| Floor | Figure | Value | Unit |\n|---|---|---|---|\n".to_owned();
    for figure in figures {
        let value = number(figure.value);
        text += &format!(
            "| {} | {} | {value} | {} |\n",
            figure.workload, figure.name, figure.unit
        );
    }
    text
}

/// Returns what makes figures doubtful as a list in Markdown.
pub fn notes(notes: &[(Side, String)], other: &str) -> String {
    let line = |(side, text): &(Side, String)| {
        let name = match side {
            Side::Dohle => "Dohle",
            Side::Control => "Dohle (control)",
            Side::Other => other,
            Side::Floor => "floor",
        };
        format!("- {name}, {text}\n")
    };
    notes.iter().map(line).collect()
}

fn ratio(ratio: &Ratio) -> String {
    let value = number(ratio.ratio);
    match ratio.interval {
        Some((low, high)) => format!("{value} ({}–{})", number(low), number(high)),
        None => value,
    }
}

/// Returns a number with three significant digits, or all before the point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 0.01 => 5,
        small if small < 0.1 => 4,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn figure(name: &'static str, better: Better, value: f64) -> Figure {
        Figure {
            workload: "produce",
            name,
            unit: "ms",
            better,
            value,
        }
    }

    pub fn measured(better: Better) -> Vec<Row> {
        let round = |dohle: f64, control: f64, other: f64| {
            BTreeMap::from([
                (
                    Side::Dohle,
                    vec![
                        figure("p99", better, dohle),
                        figure("only here", Better::Less, 1.0),
                    ],
                ),
                (Side::Control, vec![figure("p99", better, control)]),
                (Side::Other, vec![figure("p99", better, other)]),
            ])
        };
        let rounds = [
            round(2.0, 2.1, 20.0),
            round(3.0, 3.0, 33.0),
            round(2.5, 2.4, 25.0),
        ];
        rows(&rounds, &mut Random::of(1))
    }

    #[test]
    fn a_row_pairs_the_values_of_the_same_round() {
        let rows = measured(Better::Less);
        let names: Vec<_> = rows.iter().map(|row| row.figure).collect();
        assert_eq!(names, ["p99", "only here"]);
        assert_eq!(rows[0].values[&Side::Other], [20.0, 33.0, 25.0]);
        assert_eq!(rows[0].ratios[&Side::Other].ratio, 0.1);
        assert!(rows[1].ratios.is_empty() && rows[1].values[&Side::Dohle] == [1.0; 3]);
    }

    #[test]
    fn what_explains_others_has_no_ratio() {
        let rows = measured(Better::Neither);
        assert!(rows[0].ratios.is_empty());
        assert_eq!(rows[0].values.len(), 3);
    }

    #[test]
    fn the_table_has_medians_ratios_and_the_noise() {
        let table = markdown(&measured(Better::Less), "Kafka");
        let line = table.lines().nth(2).unwrap();
        let expected = "| produce | p99 | ms | 2.50 | 25.0 |  | 0.100 (0.0909–0.100) |  | 1.04 (";
        assert!(line.starts_with(expected), "{line}");
        let columns = |line: &str| line.matches('|').count();
        for line in table.lines() {
            assert_eq!(columns(line), 10, "{line}");
        }
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        let numbers = [
            0.0, 0.001234, 0.01234, 0.1234, 1.234, 12.34, 123.4, 12_345.6,
        ];
        let texts = numbers.map(number);
        let expected = [
            "0", "0.00123", "0.0123", "0.123", "1.23", "12.3", "123", "12346",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_note_names_its_side() {
        let text = notes(&[(Side::Other, "produce: late".to_owned())], "Kafka");
        assert_eq!(text, "- Kafka, produce: late\n");
    }
}
