//! A strict parser of the two text formats of metrics. What is not exactly as the formats define is
//! an error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// Series by their names and labels: `name{a="b"}`, with the labels in order.
pub type Series = BTreeMap<String, f64>;

/// The metrics of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    /// All series.
    pub series: Series,
    /// The types of the names, without the suffix of counters.
    pub types: BTreeMap<String, String>,
}

/// Parses a text.
pub fn parse(text: &str, is_open_metrics: bool) -> Result<Exposition> {
    let mut found = Exposition::default();
    let mut done = BTreeSet::new();
    let mut family: Option<(String, String)> = None;
    let mut helped: Option<String> = None;
    ensure!(text.ends_with('\n'), "the last line does not end");
    let mut lines = text.lines();
    if is_open_metrics {
        ensure!(lines.next_back() == Some("# EOF"), "no mark at the end");
    }
    for line in lines {
        let of_line = || format!("in the line {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').with_context(of_line)?;
            check_name(name).with_context(of_line)?;
            check_escapes(help, is_open_metrics).with_context(of_line)?;
            ensure!(helped.is_none(), "two HELP lines: {line}");
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(of_line)?;
            check_name(name).with_context(of_line)?;
            let unknown = if is_open_metrics {
                "unknown"
            } else {
                "untyped"
            };
            ensure!(["counter", "gauge", unknown].contains(&kind), "{line}");
            ensure!(
                helped.take().is_none_or(|it| it == name),
                "HELP of another: {line}"
            );
            let base = match (kind, is_open_metrics) {
                ("counter", false) => name.strip_suffix("_total").with_context(of_line)?,
                _ => name,
            };
            ensure!(done.insert(base.to_owned()), "a second family: {line}");
            found.types.insert(base.to_owned(), kind.to_owned());
            family = Some((base.to_owned(), kind.to_owned()));
        } else {
            ensure!(!line.starts_with('#'), "a comment: {line}");
            let (base, kind) = family.as_ref().with_context(of_line)?;
            let (name, series, value) = sample(line).with_context(of_line)?;
            let suffix = if kind == "counter" { "_total" } else { "" };
            ensure!(
                name == format!("{base}{suffix}"),
                "not of the family {base}: {line}"
            );
            let value = number(value).with_context(of_line)?;
            ensure!(
                kind != "counter" || value >= 0.0,
                "a negative count: {line}"
            );
            ensure!(
                found.series.insert(series, value).is_none(),
                "a second time: {line}"
            );
        }
    }
    ensure!(helped.is_none(), "HELP without TYPE");
    Ok(found)
}

fn check_name(name: &str) -> Result<()> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
    ensure!(starts && name.chars().all(is_legal), "{name:?} is no name");
    Ok(())
}

fn check_escapes(text: &str, quotes: bool) -> Result<()> {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next().context("a backslash at the end")?;
                ensure!(
                    ['\\', 'n'].contains(&next) || (quotes && next == '"'),
                    "\\{next}"
                );
            }
            '"' if quotes => bail!("a quote that is not escaped"),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the name of a sample, its name with the labels in order, and its value.
fn sample(line: &str) -> Result<(&str, String, &str)> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    check_name(name)?;
    let mut labels = BTreeMap::new();
    if let Some(list) = rest.strip_prefix('{') {
        rest = list;
        loop {
            let (label, after) = rest.split_once("=\"").context("no value of a label")?;
            check_name(label)?;
            ensure!(
                !label.contains(':') && !label.starts_with("__"),
                "the label {label}"
            );
            let mut escaped = false;
            let end = after.find(|c| {
                let is_end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                is_end
            });
            let (value, after) = after.split_at(end.context("no end of a label")?);
            check_escapes(value, true)?;
            ensure!(
                labels.insert(label, value).is_none(),
                "the label {label} twice"
            );
            match after[1..].strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after[1..]
                        .strip_prefix('}')
                        .context("no end of the labels")?;
                    break;
                }
            }
        }
    }
    let value = rest
        .strip_prefix(' ')
        .context("no space before the value")?;
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
    let series = match labels.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", labels.join(",")),
    };
    Ok((name, series, value))
}

fn number(text: &str) -> Result<f64> {
    Ok(match text {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => {
            let is_digit = |c: char| c.is_ascii_digit() || ['.', 'e', '-', '+'].contains(&c);
            ensure!(text.chars().all(is_digit), "{text:?} is no number");
            text.parse()?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_formats_do_not_allow_is_refused() {
        let good = "# HELP a_total A \"thing\"\n# TYPE a_total counter\n\
                    a_total{b=\"c\\\"\",d=\"}\"} 1.0\n";
        assert_eq!(parse(good, false).unwrap().series.len(), 1);
        let open = "# TYPE a counter\na_total 1e3\n# TYPE b gauge\nb NaN\n# EOF\n";
        assert_eq!(parse(open, true).unwrap().series["a_total"], 1000.0);
        for bad in [
            "# TYPE a gauge\na 1",
            "a 1\n",
            "# TYPE a gauge\nb 1\n",
            "# TYPE a counter\na 1\n",
            "# TYPE a_total counter\na_total -1\n",
            "# TYPE a gauge\na 1\n# TYPE a gauge\n",
            "# TYPE a gauge\na 1\na 2\n",
            "# TYPE a gauge\na{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 2\n",
            "# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n",
            "# TYPE a gauge\na{b=\"1} 1\n",
            "# TYPE a gauge\na{b=\"\\x\"} 1\n",
            "# TYPE a gauge\na{__b=\"1\"} 1\n",
            "# TYPE a gauge\na{} 1\n",
            "# TYPE a gauge\na  1\n",
            "# TYPE a gauge\na one\n",
            "# TYPE a summary\na 1\n",
            "# TYPE 1a gauge\n1a 1\n",
            "# HELP b B\n# TYPE a gauge\na 1\n",
            "# TYPE a gauge\na 1\n# EOF\n",
        ] {
            assert!(parse(bad, false).is_err(), "{bad}");
        }
        assert!(parse("# TYPE a gauge\na 1\n", true).is_err());
        assert!(parse("# HELP a \"A\"\n# TYPE a gauge\na 1\n# EOF\n", true).is_err());
    }
}
