//! Checks the log of a node: warnings and errors that a test does not allow fail the test.

use std::path::Path;

/// Returns the lines of a log that fail a test: WARN and ERROR lines, and panics, unless they
/// contain one of the `allowed` texts.
pub fn unexpected(log: &str, allowed: &[String]) -> Vec<String> {
    log.lines()
        .map(plain)
        .filter(|line| is_complaint(line))
        .filter(|line| !allowed.iter().any(|text| line.contains(text.as_str())))
        .collect()
}

/// Returns the last `count` lines of a log file, or why it cannot be read.
pub fn tail(path: &Path, count: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(count)..].join("\n")
        }
        Err(error) => format!("({}: {error})", path.display()),
    }
}

/// Returns whether logs are checked: `DOHLE_LOG_CHECK=off` is for programs with other log formats.
pub fn checked() -> bool {
    std::env::var("DOHLE_LOG_CHECK").as_deref() != Ok("off")
}

fn is_complaint(line: &str) -> bool {
    // A timestamp, and possibly a thread, come before the level.
    let level = line
        .split_whitespace()
        .take(4)
        .any(|word| word == "WARN" || word == "ERROR");
    let in_json = [r#","level":"WARN","#, r#","level":"ERROR","#];
    level || in_json.iter().any(|level| line.contains(level)) || line.contains("panicked at")
}

/// Returns the line without the escape sequences for colours.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            for escaped in characters.by_ref() {
                if escaped.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::unexpected;

    #[test]
    fn an_unlisted_warning_is_found_and_a_listed_one_is_not() {
        let log = "2026-01-01T00:00:00Z  INFO dohle: nothing to WARN of\n\
                   2026-01-01T00:00:00Z \u{1b}[33m WARN\u{1b}[0m dohle: leader is gone\n\
                   2026-01-01T00:00:00Z ERROR dohle: disk is full\n";
        let found = unexpected(log, &["leader is gone".to_owned()]);
        assert_eq!(found, ["2026-01-01T00:00:00Z ERROR dohle: disk is full"]);
    }

    #[test]
    fn a_warning_in_json_is_found() {
        let line = |level: &str| {
            format!(r#"{{"timestamp":"2026-01-01T00:00:00Z","level":"{level}","target":"dohle"}}"#)
        };
        let log = ["INFO", "WARN", "ERROR"].map(line).join("\n");
        assert_eq!(unexpected(&log, &[]), [line("WARN"), line("ERROR")]);
    }
}
