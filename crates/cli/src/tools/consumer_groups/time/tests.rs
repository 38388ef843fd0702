//! Times and durations, as Java reads them.

use super::*;

#[test]
fn times_are_read_with_and_without_a_zone() {
    for (text, millis) in [
        ("1970-01-01T00:00:00.000", 0),
        ("2026-11-21T07:30:00.123", 1_795_246_200_123),
        ("2026-11-21T07:30:00.123Z", 1_795_246_200_123),
        ("2026-11-21T08:30:00.123+01:00", 1_795_246_200_123),
        ("2026-11-21T06:30:00.123-01", 1_795_246_200_123),
        ("2024-02-29T00:00:00.000Z", 1_709_164_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
    ] {
        assert_eq!(date_time(text), Ok(millis), "{text}");
    }
    for text in [
        "",
        "2026-11-21",
        "2026-11-21 07:30:00.000",
        "2026-11-21T07:30:00",
        "2026-02-29T00:00:00.000",
        "2026-13-01T00:00:00.000",
        "2026-11-21T24:00:00.000",
        "2026-11-21T07:30:00.000+1",
        "x-y-zT1:2:3.4",
    ] {
        assert!(date_time(text).is_err(), "{text}");
    }
}

#[test]
fn durations_are_read_as_java_does() {
    for (text, millis) in [
        ("P1D", 86_400_000),
        ("PT1H30M", 5_400_000),
        ("P2DT3H4M5.5S", 183_845_500),
        ("-PT1S", -1000),
        ("PT-1S", -1000),
        ("pt10s", 10_000),
    ] {
        assert_eq!(duration(text), Ok(millis), "{text}");
    }
    for text in ["", "P", "PT", "1D", "P1H", "PT1D", "PT1M1H", "P1W", "PTxS"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
