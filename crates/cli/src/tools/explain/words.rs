//! Words for times, sizes and lists.

use crate::numbers::date;

/// A time in UTC.
pub(super) fn time(millis: i64) -> String {
    date(millis, "yyyy-MM-dd HH:mm:ss") + " UTC"
}

/// A span of time in its largest units: `2 d 3 h`, `45 s`, `800 ms`.
pub(super) fn span(millis: i64) -> String {
    const UNITS: [(&str, i64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let millis = millis.max(0);
    let first = UNITS.iter().position(|(_, length)| millis >= *length);
    let first = first.unwrap_or(UNITS.len() - 1);
    let (unit, length) = UNITS[first];
    let text = format!("{} {unit}", millis / length);
    match UNITS.get(first + 1) {
        // Fractions of a second are left out.
        Some((unit, next)) if *unit != "ms" && millis % length >= *next => {
            format!("{text} {} {unit}", millis % length / next)
        }
        _ => text,
    }
}

/// A number of bytes: `1536 B`, `12.5 MiB`.
pub(super) fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 10_240 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `1 member`, `2 members`.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// `broker 1`, `brokers 1, 2`; `no broker`.
pub(super) fn brokers(ids: &[i32]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match ids.len() {
        0 => "no broker".to_owned(),
        1 => format!("broker {}", names.join(", ")),
        _ => format!("brokers {}", names.join(", ")),
    }
}

/// A sentence that begins with a capital letter and ends with a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let spans = [0, 800, 45_900, 60_000, 61_000, 604_800_000, 93_600_000];
        let texts = spans.map(span);
        let expected = [
            "0 ms",
            "800 ms",
            "45 s",
            "1 min",
            "1 min 1 s",
            "7 d",
            "1 d 2 h",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        assert_eq!(size(1536), "1536 B");
        assert_eq!(size(1 << 20), "1.0 MiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
        assert_eq!(size(i64::MAX), "8388608.0 TiB");
    }

    #[test]
    fn sentences_and_lists_read_well() {
        assert_eq!(sentence("member a left"), "Member a left.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), ".");
        assert_eq!(brokers(&[]), "no broker");
        assert_eq!(brokers(&[1, 3]), "brokers 1, 3");
        assert_eq!(count(1, "member"), "1 member");
        assert_eq!(count(0, "member"), "0 members");
    }
}
