//! What RE2/J, the library with which Kafka reads the patterns of ListTransactions, refuses and the
//! `regex` crate accepts: a repetition of a repetition, counts above 1,000, and the flags, escapes
//! and names of classes that RE2/J does not have. Compared with RE2/J 1.8.
//!
//! The opposite, such as `\Q…\E`, is refused by the crate.

/// The most repetitions of `{n,m}`.
const REPEATED_MAX: u32 = 1_000;

/// Returns whether RE2/J refuses a pattern for one of the reasons above.
pub(crate) fn refuses(pattern: &str) -> bool {
    let mut rest = pattern;
    // Whether the text before `rest` is a repetition.
    let mut is_repeated = false;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let repetition = match first {
            '*' | '+' | '?' => Some((0, after)),
            '{' => counts(after),
            _ => None,
        };
        if let Some((count, after)) = repetition {
            if is_repeated || count > REPEATED_MAX {
                return true;
            }
            is_repeated = true;
            rest = after.strip_prefix('?').unwrap_or(after);
            continue;
        }
        is_repeated = false;
        rest = match first {
            '\\' => match escape(after) {
                Some(after) => after,
                None => return true,
            },
            '[' => match class(after) {
                Some(after) => after,
                None => return true,
            },
            '(' if has_other_flag(after) => return true,
            _ => after,
        };
    }
    false
}

/// Reads `n}`, `n,}` or `n,m}`. Returns the largest count, and the text after it.
fn counts(text: &str) -> Option<(u32, &str)> {
    let (counts, after) = text.split_once('}')?;
    let (low, high) = counts.split_once(',').unwrap_or((counts, ""));
    let count = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Some(text.parse().unwrap_or(u32::MAX)),
        false => None,
    };
    let low = count(low).filter(|_| !low.is_empty())?;
    let high = match high {
        "" => low,
        high => count(high)?,
    };
    Some((low.max(high), after))
}

/// Reads what follows a backslash. Returns the text after it; `None` when RE2/J has no such escape.
fn escape(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let after = &text[first.len_utf8()..];
    match first {
        'u' | 'U' => None,
        'p' | 'P' => {
            let Some((name, after)) = after.strip_prefix('{').and_then(|it| it.split_once('}'))
            else {
                return Some(after);
            };
            let name = name.strip_prefix('^').unwrap_or(name);
            let is_other = name.contains(['=', ':'])
                || name.starts_with("Is")
                || name.starts_with(|first: char| first.is_ascii_lowercase());
            (!is_other).then_some(after)
        }
        _ => Some(after),
    }
}

/// Reads the items of a class in brackets, whose first bracket is read. Returns the text after it;
/// `None` when RE2/J refuses one of them.
fn class(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('^').unwrap_or(text);
    // A bracket that is the first item does not end the class.
    rest = rest.strip_prefix(']').unwrap_or(rest);
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            ']' => return Some(after),
            '\\' => escape(after)?,
            '[' => match after.strip_prefix(':').and_then(|it| it.split_once(":]")) {
                Some((_, after)) => after,
                None => after,
            },
            _ => after,
        };
    }
    Some(rest)
}

/// Whether a group, whose parenthesis is read, sets a flag that RE2/J does not have.
fn has_other_flag(text: &str) -> bool {
    let Some(text) = text.strip_prefix('?') else {
        return false;
    };
    let flags = text
        .chars()
        .take_while(|flag| flag.is_ascii_alphabetic() || *flag == '-');
    let flags: Vec<char> = flags.collect();
    let is_closed = text
        .chars()
        .nth(flags.len())
        .is_some_and(|next| matches!(next, ':' | ')'));
    is_closed && flags.iter().any(|flag| matches!(flag, 'x' | 'u' | 'R'))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn patterns_that_only_the_crate_accepts_are_refused() {
        for pattern in [
            "a**",
            "a+*",
            "a?+",
            "a*??",
            "a++",
            "a{2}{3}",
            "a{2}*",
            "a{2}??",
            "a{1001}",
            "a{2,1001}",
            "(?x)a",
            "(?u)a",
            "(?R)a",
            "(?i-x)a",
            r"\u0041",
            r"\U00000041",
            r"\u{41}",
            r"[\u0041]",
            r"\p{Script=Greek}",
            r"\p{greek}",
            r"\p{IsGreek}",
        ] {
            assert!(Regex::new(pattern).is_ok(), "{pattern}");
            assert!(refuses(pattern), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_both_accept_are_not_refused() {
        for pattern in [
            "",
            "a*?",
            "a{2}?",
            "a{1000}",
            "(a*)*",
            "(?:a+)+",
            "(?i)a",
            "(?imsU)a",
            "(?-i)a",
            "(?s-i:a)",
            "(?<n>a)",
            "(?P<ux>a)",
            r"\p{Greek}",
            r"\p{^Greek}",
            r"\pN+",
            r"\x{41}",
            "[]a]",
            "[^]a]",
            "[[:alpha:]]+",
            r"[\]*]*",
            r"\\*",
            r"\**",
            "^*",
            "()",
            "a||b",
            "app-.*|b+",
        ] {
            assert!(!refuses(pattern), "{pattern}");
        }
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for pattern in [
            "[",
            "\\",
            "(?",
            "{",
            "a{1",
            "[[:",
            "ä[ü",
            r"\p{",
            "(?x",
            "a{99999999999}",
        ] {
            let _ = refuses(pattern);
        }
    }
}
