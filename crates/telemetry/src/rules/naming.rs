//! How jmx_exporter 1.0.1 makes names: its own rules, and those of Prometheus's Java client 1.3.1.

/// Endings that the Java client removes from names of metrics, since it adds them itself.
const RESERVED: &[&str] = &["_total", "_created", "_bucket", "_info"];

/// Makes a name of a text: other characters than letters, digits, `:` and `_` become `_`, of which
/// several in a row become one. A leading digit gets a `_` in front (`JmxCollector.safeName`).
pub(super) fn safe_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 1);
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        name.push('_');
    }
    let mut after_underscore = false;
    for c in text.chars() {
        let is_kept = c.is_ascii_alphanumeric() || c == ':';
        if is_kept {
            name.push(c);
        } else if !after_underscore {
            name.push('_');
        }
        after_underscore = !is_kept;
    }
    name
}

/// Writes the name of an attribute with `_` in front of each word, in lower case
/// (`JmxCollector.toSnakeAndLowerCase`).
pub(super) fn snake_case(attribute: &str) -> String {
    let mut name = String::with_capacity(attribute.len() + 4);
    let mut after_word = true;
    for (index, c) in attribute.chars().enumerate() {
        let is_upper = c.is_uppercase();
        if index > 0 && is_upper && !after_word {
            name.push('_');
        }
        name.extend(c.to_lowercase());
        after_word = is_upper || c == '_';
    }
    name
}

/// Removes reserved endings from the name of a metric (`PrometheusNaming.sanitizeMetricName`).
pub(super) fn without_reserved_suffix(name: &str) -> &str {
    let mut rest = name;
    loop {
        let before = rest;
        for suffix in RESERVED {
            if rest == *suffix {
                return &suffix[1..];
            }
            rest = rest.strip_suffix(suffix).unwrap_or(rest);
        }
        if rest == before {
            return rest;
        }
    }
}

/// Whether the Java client accepts a name for a label.
pub(super) fn is_label_name(name: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(starts)
        && !name.starts_with("__")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Writes a number as Java's `Double.toString` does, so that patterns find the same text.
pub(super) fn java_double(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_jmx_exporter_makes_them() {
        for (text, name) in [
            ("kafka.server_Topics_Value", "kafka_server_Topics_Value"),
            ("a--b..c__d", "a_b_c_d"),
            ("_a", "_a"),
            ("__a", "_a"),
            ("9lives", "_9lives"),
            ("hadoop<service=DataNode, ", "hadoop_service_DataNode_"),
            ("a:b", "a:b"),
            ("héllo", "h_llo"),
            ("", ""),
        ] {
            assert_eq!(safe_name(text), name, "{text}");
        }
    }

    #[test]
    fn attributes_are_split_into_words() {
        for (attribute, name) in [
            ("replaceBlockOpMinTime", "replace_block_op_min_time"),
            ("OneMinuteRate", "one_minute_rate"),
            ("ABCDef", "abcdef"),
            ("a_Bc", "a_bc"),
            ("99thPercentile", "99th_percentile"),
            ("_Ab", "_ab"),
            ("", ""),
        ] {
            assert_eq!(snake_case(attribute), name, "{attribute}");
        }
    }

    #[test]
    fn reserved_endings_are_removed() {
        for (name, rest) in [
            ("requests_total", "requests"),
            ("requests_total_total", "requests"),
            ("a_info_total", "a"),
            ("a_total_info_created", "a"),
            ("_total", "total"),
            ("total", "total"),
            ("a_totals", "a_totals"),
        ] {
            assert_eq!(without_reserved_suffix(name), rest, "{name}");
        }
    }

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.5, "-0.5"),
            (100.0, "100.0"),
            (1_234_567.5, "1234567.5"),
            (1e7, "1.0E7"),
            (-1.25e10, "-1.25E10"),
            (1e-4, "1.0E-4"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }
}
