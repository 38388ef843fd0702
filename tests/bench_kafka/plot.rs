//! A plot of the ratios as SVG.
//!
//! Pure.

use crate::figures::Better;
use crate::plan::Side;
use crate::report::Row;
use crate::statistics::Ratio;

/// The sizes of the plot's parts, in pixels.
const LABELS: f64 = 560.0;
const PLOT: f64 = 420.0;
const LINE: f64 = 20.0;
/// The ratios at the plot's left and right end; the scale is logarithmic.
const ENDS: (f64, f64) = (0.01, 100.0);
const GOOD: &str = "#1a7f37";
const BAD: &str = "#c0392b";

/// Returns the plot of Dohle divided by a side: a dot and its interval for each row, green where
/// Dohle is better, and a line at 1.
pub fn plot(rows: &[Row], side: Side, name: &str) -> String {
    let rows: Vec<(&Row, &Ratio)> = rows
        .iter()
        .filter_map(|row| Some((row, row.ratios.get(&side)?)))
        .collect();
    let height = (rows.len() as f64 + 3.0) * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Dohle divided by {name}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"4\" y=\"15\">Dohle ÷ {name}; green is better</text>\n",
        LABELS + PLOT + 20.0,
        name = escaped(name),
    );
    for tick in [0.01, 0.1, 1.0, 10.0, 100.0] {
        let (x, colour) = (x(tick), if tick == 1.0 { "black" } else { "#ddd" });
        svg += &format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{LINE}\" y2=\"{height}\" \
             stroke=\"{colour}\"/>\n\
             <text x=\"{x:.1}\" y=\"15\" text-anchor=\"middle\">{tick}</text>\n"
        );
    }
    for (index, (row, ratio)) in rows.iter().enumerate() {
        svg += &dot(row, ratio, (index as f64 + 2.0) * LINE);
    }
    svg + "</svg>\n"
}

fn dot(row: &Row, ratio: &Ratio, y: f64) -> String {
    let (low, high) = ratio.interval.unwrap_or((ratio.ratio, ratio.ratio));
    let is_better = (ratio.ratio > 1.0) == (row.better == Better::More);
    let colour = if is_better { GOOD } else { BAD };
    format!(
        "<text x=\"4\" y=\"{:.1}\">{}</text>\n\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" \
         stroke-width=\"3\"/>\n\
         <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>\n",
        y + 4.0,
        escaped(&format!("{}: {}", row.workload, row.figure)),
        x(low),
        x(high),
        x(ratio.ratio),
    )
}

fn x(ratio: f64) -> f64 {
    let (low, high) = ENDS;
    let share = (ratio.clamp(low, high) / low).log10() / (high / low).log10();
    LABELS + share * PLOT
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::measured;

    #[test]
    fn the_colour_shows_which_is_better_and_rows_without_a_ratio_are_left_out() {
        // A tenth of the other's: good for a cost, bad for a rate.
        for (better, used, unused) in [(Better::Less, GOOD, BAD), (Better::More, BAD, GOOD)] {
            let svg = plot(&measured(better), Side::Other, "A & B");
            assert_eq!(svg.matches("<circle").count(), 1);
            assert!(svg.contains(used) && !svg.contains(unused), "{better:?}");
            assert!(svg.contains("A &amp; B"));
        }
        let none = plot(&measured(Better::Less), Side::Floor, "floor");
        assert!(!none.contains("<circle"));
    }

    #[test]
    fn the_scale_is_logarithmic_and_has_ends() {
        assert_eq!(x(0.01), LABELS);
        assert_eq!(x(1.0), LABELS + PLOT / 2.0);
        assert_eq!(x(1000.0), LABELS + PLOT);
    }
}
