//! The two text formats of metrics: Prometheus 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write as _;

use crate::family::{Family, Kind, Point};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Returns the format for the value of an `Accept` header: OpenMetrics when the client takes
    /// it at least as gladly as plain text, and Prometheus's text otherwise.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let media_type = parameters.next().unwrap_or_default();
            let quality = parameters.find_map(|parameter| parameter.strip_prefix("q="));
            let quality = quality.map_or(Ok(1.0), str::parse::<f32>).unwrap_or(0.0);
            match media_type.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => open_metrics = quality.max(open_metrics),
                "text/plain" => text = quality.max(text),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    const fn type_name(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::Counter, _) => "counter",
            (Kind::Gauge, _) => "gauge",
            (Kind::Unknown, Self::Prometheus) => "untyped",
            (Kind::Unknown, Self::OpenMetrics) => "unknown",
        }
    }
}

/// Renders metrics.
#[must_use]
pub fn render(families: &[Family], format: Format) -> String {
    let mut out = String::new();
    for family in families {
        family_text(family, format, &mut out);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn family_text(family: &Family, format: Format, out: &mut String) {
    let suffix = match family.kind {
        Kind::Counter => "_total",
        Kind::Gauge | Kind::Unknown => "",
    };
    // OpenMetrics names the family of a counter without the suffix, Prometheus's text with it.
    let described = match format {
        Format::Prometheus => suffix,
        Format::OpenMetrics => "",
    };
    let name = &family.name;
    if !family.help.is_empty() {
        let _ = write!(out, "# HELP {name}{described} ");
        escape(&family.help, format == Format::OpenMetrics, out);
        out.push('\n');
    }
    let kind = format.type_name(family.kind);
    let _ = writeln!(out, "# TYPE {name}{described} {kind}");
    for Point { labels, value } in &family.points {
        out.push_str(name);
        out.push_str(suffix);
        for (index, (label, text)) in labels.iter().enumerate() {
            out.push(if index == 0 { '{' } else { ',' });
            out.push_str(label);
            out.push_str("=\"");
            escape(text, true, out);
            out.push('"');
        }
        if !labels.is_empty() {
            out.push('}');
        }
        out.push(' ');
        number(*value, out);
        out.push('\n');
    }
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

fn number(value: f64, out: &mut String) {
    let _ = match value {
        value if value.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        value => write!(out, "{value:?}"),
    };
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(families: &[Family], format: Format, expected: Expect) {
        expected.assert_eq(&render(families, format));
    }

    fn families() -> Vec<Family> {
        let point = |labels: &[(&str, &str)], value| Point {
            labels: labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            value,
        };
        vec![
            Family {
                name: "requests".into(),
                kind: Kind::Counter,
                help: "Served \"requests\"\nby a \\ node".into(),
                points: vec![
                    point(&[("api", "Fetch"), ("version", "18")], 12_345_678_901.0),
                    point(&[("api", "a\"b\\c\nd")], 0.0),
                ],
            },
            Family {
                name: "speed".into(),
                kind: Kind::Gauge,
                help: String::new(),
                points: vec![point(&[], 0.25), point(&[("limit", "none")], f64::INFINITY)],
            },
            Family {
                name: "state".into(),
                kind: Kind::Unknown,
                help: "A state".into(),
                points: vec![
                    point(&[], f64::NAN),
                    point(&[("a", "b")], f64::NEG_INFINITY),
                ],
            },
        ]
    }

    #[test]
    fn prometheus_text_names_counters_with_their_suffix() {
        check(
            &families(),
            Format::Prometheus,
            expect![[r#"
                # HELP requests_total Served "requests"\nby a \\ node
                # TYPE requests_total counter
                requests_total{api="Fetch",version="18"} 12345678901.0
                requests_total{api="a\"b\\c\nd"} 0.0
                # TYPE speed gauge
                speed 0.25
                speed{limit="none"} +Inf
                # HELP state A state
                # TYPE state untyped
                state NaN
                state{a="b"} -Inf
            "#]],
        );
    }

    #[test]
    fn open_metrics_names_counters_without_and_ends_with_a_mark() {
        check(
            &families(),
            Format::OpenMetrics,
            expect![[r#"
                # HELP requests Served \"requests\"\nby a \\ node
                # TYPE requests counter
                requests_total{api="Fetch",version="18"} 12345678901.0
                requests_total{api="a\"b\\c\nd"} 0.0
                # TYPE speed gauge
                speed 0.25
                speed{limit="none"} +Inf
                # HELP state A state
                # TYPE state unknown
                state NaN
                state{a="b"} -Inf
                # EOF
            "#]],
        );
    }

    #[test]
    fn a_client_chooses_the_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Format::Prometheus,
            ),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; version=1.0.0",
                Format::OpenMetrics,
            ),
            (prometheus, Format::OpenMetrics),
            (
                "application/openmetrics-text;q=0.2,text/plain;q=0.8",
                Format::Prometheus,
            ),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=lots", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
