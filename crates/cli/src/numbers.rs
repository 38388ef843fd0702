//! Numbers and times as Java prints them. Pure.

/// A number with so many digits behind the point; `NaN` and `Infinity` as in Java.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        // Without the sign that a zero may have.
        let value = if value == 0.0 { 0.0 } else { value };
        format!("{value:.digits$}")
    }
}

/// A number as Java prints it: from 1e-3 to 1e7 plain, beyond that with an exponent.
pub(crate) fn java_double(value: f64) -> String {
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
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

/// The parts of a time of day in UTC: year, month, day, hour, minute, second, millisecond.
fn parts(millis: i64) -> [i64; 7] {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000);
    // Days since the first of March of year 0, in eras of 400 years (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let second = of_day / 1000;
    [
        year,
        month,
        day,
        second / 3600,
        second / 60 % 60,
        second % 60,
        of_day % 1000,
    ]
}

/// A time in UTC, formatted by a pattern of `SimpleDateFormat`; letters other than `yMdHmsS` stay
/// as they are, and so does what is between single quotes.
pub(crate) fn date(millis: i64, pattern: &str) -> String {
    let parts = parts(millis);
    let mut text = String::new();
    let mut letters = pattern.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            quoted = !quoted;
            continue;
        }
        let Some(part) = "yMdHmsS".find(letter).filter(|_| !quoted) else {
            text.push(letter);
            continue;
        };
        let mut width = 1;
        while letters.next_if_eq(&letter).is_some() {
            width += 1;
        }
        let short_year = letter == 'y' && width == 2;
        let value = if short_year {
            parts[part] % 100
        } else {
            parts[part]
        };
        text += &format!("{value:0width$}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_the_pattern_says() {
        let pattern = "yyyy-MM-dd HH:mm:ss:SSS";
        assert_eq!(date(0, pattern), "1970-01-01 00:00:00:000");
        assert_eq!(date(1_795_239_941_253, pattern), "2026-11-21 05:45:41:253");
        assert_eq!(date(951_782_400_000, "yy'y' d.M."), "00y 29.2.");
    }

    #[test]
    fn numbers_may_be_none() {
        assert_eq!(fixed(9_942.334_46, 6), "9942.334460");
        assert_eq!(fixed(-0.0, 3), "0.000");
        assert_eq!(fixed(f64::INFINITY, 4), "Infinity");
        assert_eq!(fixed(f64::NAN, 4), "NaN");
    }
}
