//! Java's regular expressions, for the engine that is used here.

use fancy_regex::{Captures, Regex};

/// A pattern that has to match a whole text, as jmx_exporter anchors it: any text may be around it.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern. The error is the engine's message.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let text = format!("^.*(?:{}).*$", translate(pattern));
        Regex::new(&text)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Returns the names of the groups, the whole match first.
    pub(super) fn groups(&self) -> Vec<Option<String>> {
        let names = self.0.capture_names();
        names.map(|name| name.map(str::to_owned)).collect()
    }

    /// Matches a text. `Err` when the engine gives up, because the pattern tries too much.
    pub(super) fn matches<'t>(&self, text: &'t str) -> Result<Option<Captures<'t>>, GaveUp> {
        self.0.captures(text).map_err(|_| GaveUp)
    }
}

/// The engine has tried as many ways to match as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveUp;

/// Writes in the engine's syntax what it reads in another way than Java: `\d`, `\w` and `\s` are
/// about ASCII, `\h` is white space within a line, and `\Q…\E` quotes.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    // How many `[` are open.
    let mut classes = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                None => out.push('\\'),
                Some('Q') => {
                    let mut quoted = String::new();
                    while let Some(c) = chars.next() {
                        if c == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        quoted.push(c);
                    }
                    quoted.chars().for_each(|c| push_literal(c, &mut out));
                }
                Some(escaped) => push_escape(escaped, classes > 0, &mut out),
            },
            '[' => {
                classes += 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
            }
            ']' if classes > 0 => {
                classes -= 1;
                out.push(']');
            }
            c => out.push(c),
        }
    }
    out
}

fn push_escape(escaped: char, in_class: bool, out: &mut String) {
    let ascii = match escaped {
        'd' | 'D' => Some("0-9"),
        'w' | 'W' => Some("a-zA-Z0-9_"),
        's' | 'S' => Some(" \\t\\n\\x0B\\f\\r"),
        'h' | 'H' => Some(" \\t\\xA0"),
        _ => None,
    };
    match ascii {
        Some(set) if in_class && escaped.is_ascii_lowercase() => out.push_str(set),
        Some(set) if escaped.is_ascii_lowercase() => out.extend(["[", set, "]"]),
        Some(set) => out.extend(["[^", set, "]"]),
        None if escaped.is_ascii_punctuation() => push_literal(escaped, out),
        None => {
            out.push('\\');
            out.push(escaped);
        }
    }
}

/// Writes a character that matches itself, within a class or outside.
fn push_literal(c: char, out: &mut String) {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '_') {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, groups: Option<&[&str]>) {
        let compiled = Pattern::compile(pattern).unwrap();
        let found = compiled.matches(text).unwrap();
        let found = found.map(|captures| {
            let groups = captures.iter().skip(1);
            let texts = groups.map(|group| group.map_or("-", |it| it.as_str()).to_owned());
            texts.collect::<Vec<_>>()
        });
        let found: Option<Vec<&str>> = found
            .as_ref()
            .map(|groups| groups.iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), groups, "{pattern}");
    }

    #[test]
    fn patterns_match_as_in_java() {
        let size = "kafka.log<type=Log, name=Size, topic=a.b, partition=3><>Value: 7";
        check(
            "kafka.log<type=(.+), name=(.+), topic=(.+), partition=(.+)><>Value",
            size,
            Some(&["Log", "Size", "a.b", "3"]),
        );
        check("name=Size", size, Some(&[]));
        check("^name=Size", size, None);
        check(": 7$", size, Some(&[]));
        // Lookahead and lookbehind.
        check(r"kafka.(\w+)<type=(?!Log)(.+)><>", size, None);
        check(
            r"kafka.(\w+)<type=(?!Broker)(\w+)",
            size,
            Some(&["log", "Log"]),
        );
        check(r"(?<=topic=)(a\.b)", size, Some(&["a.b"]));
        // Greedy groups take as much as possible.
        check(
            "<(.+), (.+)=(.+)><>",
            size,
            Some(&["type=Log, name=Size, topic=a.b", "partition", "3"]),
        );
        check("<(.+?), (.+?)=", size, Some(&["type=Log", "name"]));
        check("(x)?Value", size, Some(&["-"]));
        check("(?<what>Size)", size, Some(&["Size"]));
        check("(?i)(SIZE)", size, Some(&["Size"]));
    }

    #[test]
    fn escapes_have_their_meaning_in_java() {
        check(r"a\<b\>\:\-\_\/\=c", "a<b>:-_/=c", Some(&[]));
        check(r"\Qa.b[\E+", "a.b[[", Some(&[]));
        check(r"\Qa.b\E", "axb", None);
        check(r"[\w\-.]+x", "a-.x", Some(&[]));
        check(r"^[\<\d]+$", "1<2", Some(&[]));
        check(r"x\w", "xé", None);
        check(r"x\d", "x٣", None);
        check(r"x\W", "xé", Some(&[]));
        check(r"x[^\d,]", "x1", None);
        check(r"a\sb", "a b", Some(&[]));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_refused() {
        for pattern in ["(", "a)", "[", "*", r"\y"] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
    }
}
