//! Points in time and durations as ISO 8601 writes them.

use crate::options::{UsageError, usage};

/// `2026-11-21T07:30:00.000`, with `Z` or `+01:00` where it is not UTC: milliseconds since 1970.
///
/// # Errors
/// When it is no such text, or no such day.
pub fn date_time(text: &str) -> Result<i64, UsageError> {
    match parse_date_time(text) {
        Some(millis) => Ok(millis),
        None => usage(format!(
            "{text:?} is not a time of the form YYYY-MM-DDThh:mm:ss.sss, with Z or +hh:mm at its \
             end where it is not UTC"
        )),
    }
}

fn parse_date_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (clock, fraction) = clock.split_once('.')?;
    let mut parts = clock.splitn(3, ':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let fits = (1..=days_of_month).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !fits || fraction.len() > 3 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds - zone_seconds(zone)?) * 1000 + digits(fraction)?)
}

fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("Z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let rest = rest.replace(':', "");
    let (hours, minutes) = match rest.len() {
        2 => (digits(&rest)?, 0),
        4 => (digits(&rest[..2])?, digits(&rest[2..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + days - 719_468
}

/// `P1DT2H30M10.5S`: milliseconds.
///
/// # Errors
/// When it is no such text.
pub fn duration(text: &str) -> Result<i64, UsageError> {
    match parse_duration(text) {
        Some(millis) => Ok(millis),
        None => usage(format!(
            "{text:?} is not a duration of the form PnDTnHnMnS, as in P1D or PT1H30M"
        )),
    }
}

fn parse_duration(text: &str) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    let (negative, rest) = match upper.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, upper.as_str()),
    };
    let rest = rest.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let units = [
        ('D', 86_400_000.0),
        ('H', 3_600_000.0),
        ('M', 60_000.0),
        ('S', 1000.0),
    ];
    let mut millis = 0.0;
    for (part, units) in [(date, &units[..1]), (time, &units[1..])] {
        let mut left = part;
        for (unit, of_unit) in units {
            if let Some((number, rest)) = left.split_once(*unit) {
                millis += number.parse::<f64>().ok().filter(|n| n.is_finite())? * of_unit;
                left = rest;
            }
        }
        if !left.is_empty() {
            return None;
        }
    }
    let fits = millis.abs() < 9e15;
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53, checked")]
    fits.then_some(if negative {
        -millis as i64
    } else {
        millis as i64
    })
}

#[cfg(test)]
mod tests;
