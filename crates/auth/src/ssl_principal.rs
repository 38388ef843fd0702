//! The principal of a TLS client: `ssl.principal.mapping.rules` map the distinguished name of its
//! certificate to a user's name (KIP-371).
//!
//! Source: `org.apache.kafka.common.security.ssl.SslPrincipalMapper`. Patterns are regular
//! expressions of the `regex` crate, which has no look-around and no back references; a pattern
//! that uses them is refused.

use regex::{Captures, Regex};

use crate::Principal;

/// Rules that map distinguished names to names. The first rule that matches decides.
#[derive(Debug, Clone)]
pub struct SslPrincipalMapper {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
enum Rule {
    /// `DEFAULT`: the name is the distinguished name.
    Default,
    /// `RULE:pattern/replacement/`, with `L` or `U` after it.
    Replace {
        whole: Regex,
        part: Regex,
        replacement: Vec<Piece>,
        case: Case,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

/// A part of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// Rules that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A text that is not a rule.
    #[error(
        "{0:?} is not a rule; a rule is DEFAULT or RULE:pattern/replacement/, optionally followed \
         by L or U"
    )]
    Syntax(String),
    /// A pattern that is not a regular expression which this implementation supports.
    #[error("the pattern {pattern:?} cannot be used: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A replacement with a `$` that is not the number of a group.
    #[error("the replacement {0:?} has a $ that is not followed by the number of a group")]
    Replacement(String),
}

impl Default for SslPrincipalMapper {
    fn default() -> Self {
        Self {
            rules: vec![Rule::Default],
        }
    }
}

impl SslPrincipalMapper {
    /// Parses `ssl.principal.mapping.rules`: rules with commas between them. Empty rules are
    /// ignored.
    ///
    /// # Errors
    /// Names the rule that cannot be used.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut rules = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(',') {
                rest = after.trim_start();
                continue;
            }
            let (rule, after) = parse_rule(rest)?;
            rules.push(rule);
            rest = after;
        }
        Ok(Self { rules })
    }

    /// Returns the principal of a client whose certificate has this subject, in the form of RFC
    /// 2253; `None` when no rule matches.
    #[must_use]
    pub fn principal(&self, distinguished_name: &str) -> Option<Principal> {
        let name = self
            .rules
            .iter()
            .find_map(|it| it.apply(distinguished_name));
        name.map(|name| Principal::user(&name))
    }
}

/// Parses the rule at the beginning of `text`. Returns it, and the text after it.
fn parse_rule(text: &str) -> Result<(Rule, &str), RuleError> {
    let syntax = || RuleError::Syntax(text.to_owned());
    if let Some(after) = text.strip_prefix("DEFAULT") {
        return Ok((Rule::Default, end_of_rule(after).ok_or_else(syntax)?));
    }
    let after = text.strip_prefix("RULE:").ok_or_else(syntax)?;
    let (pattern, after) = until_slash(after).ok_or_else(syntax)?;
    let (replacement, after) = until_slash(after).ok_or_else(syntax)?;
    let (case, after) = match after.chars().next() {
        Some('L') => (Case::Lower, &after[1..]),
        Some('U') => (Case::Upper, &after[1..]),
        _ => (Case::Kept, after),
    };
    let after = end_of_rule(after).ok_or_else(syntax)?;
    let compile = |text: &str| {
        Regex::new(text).map_err(|error| RuleError::Pattern {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        })
    };
    let ascii = with_ascii_classes(pattern);
    let part = compile(&ascii)?;
    let replacement = parse_replacement(replacement, part.captures_len() - 1)?;
    let rule = Rule::Replace {
        whole: compile(&format!(r"\A(?:{ascii})\z"))?,
        part,
        replacement,
        case,
    };
    Ok((rule, after))
}

/// Divides a text at its first slash that has no backslash before it.
fn until_slash(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Returns the text after the end of a rule and its comma; `None` when something else follows.
fn end_of_rule(text: &str) -> Option<&str> {
    let text = text.trim_start();
    match text.strip_prefix(',') {
        Some(rest) => Some(rest.trim_start()),
        None => text.is_empty().then_some(text),
    }
}

/// Replaces the classes that have only ASCII characters in Java, and many more in Rust.
fn with_ascii_classes(pattern: &str) -> String {
    let mut ascii = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            ascii.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => ascii.push_str("[0-9]"),
            Some('D') => ascii.push_str("[^0-9]"),
            Some('w') => ascii.push_str("[A-Za-z0-9_]"),
            Some('W') => ascii.push_str("[^A-Za-z0-9_]"),
            Some('s') => ascii.push_str(r"[ \t\n\x0B\f\r]"),
            Some('S') => ascii.push_str(r"[^ \t\n\x0B\f\r]"),
            Some(other) => ascii.extend(['\\', other]),
            None => ascii.push('\\'),
        }
    }
    ascii
}

/// Parses a replacement as Java's `Matcher.appendReplacement` does. A number beyond the pattern's
/// groups is shortened by its last digits; if none is left, `$` and the digits are plain text.
fn parse_replacement(text: &str, groups: usize) -> Result<Vec<Piece>, RuleError> {
    let wrong = || RuleError::Replacement(text.to_owned());
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let literal = rest.chars().next().ok_or_else(wrong)?;
                plain.push(literal);
                rest = &rest[literal.len_utf8()..];
            }
            '$' => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 {
                    return Err(wrong());
                }
                let fitting = (1..=digits).rev().find_map(|count| {
                    let group: usize = rest[..count].parse().ok()?;
                    (group <= groups).then_some((group, count))
                });
                match fitting {
                    Some((group, count)) => {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                        pieces.push(Piece::Group(group));
                        rest = &rest[count..];
                    }
                    None if groups == 0 => return Err(wrong()),
                    None => plain.push('$'),
                }
            }
            c => plain.push(c),
        }
    }
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

impl Rule {
    fn apply(&self, name: &str) -> Option<String> {
        let (whole, part, replacement, case) = match self {
            Self::Default => return Some(name.to_owned()),
            Self::Replace {
                whole,
                part,
                replacement,
                case,
            } => (whole, part, replacement, case),
        };
        if !whole.is_match(name) {
            return None;
        }
        let mapped = replace_all(name, part, replacement);
        Some(match case {
            Case::Kept => mapped,
            Case::Lower => mapped.to_lowercase(),
            Case::Upper => mapped.to_uppercase(),
        })
    }
}

/// Replaces all matches, like Java's `String.replaceAll`: after a match, an empty one is found in
/// the same place.
fn replace_all(name: &str, part: &Regex, replacement: &[Piece]) -> String {
    let mut mapped = String::new();
    let (mut from, mut copied) = (0, 0);
    while let Some(captures) = part.captures_at(name, from) {
        let found = captures.get_match();
        mapped.push_str(&name[copied..found.start()]);
        push_replacement(&mut mapped, &captures, replacement);
        copied = found.end();
        from = found.end();
        if found.is_empty() {
            let Some(next) = name[from..].chars().next() else {
                break;
            };
            from += next.len_utf8();
        }
    }
    mapped.push_str(&name[copied..]);
    mapped
}

fn push_replacement(mapped: &mut String, captures: &Captures<'_>, replacement: &[Piece]) {
    for piece in replacement {
        match piece {
            Piece::Text(text) => mapped.push_str(text),
            Piece::Group(group) => {
                mapped.push_str(captures.get(*group).map_or("", |found| found.as_str()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapped(rules: &str, name: &str) -> Option<String> {
        let mapper = SslPrincipalMapper::parse(rules).unwrap();
        mapper.principal(name).map(|it| it.name().to_owned())
    }

    /// The cases of Kafka's `SslPrincipalMapperTest.testSslPrincipalMapper`.
    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = [
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L",
            "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L",
            "RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U",
            "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U",
            "DEFAULT",
        ]
        .join(", ");
        for (name, expected) in [
            ("CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke"),
            ("CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme"),
            ("cn=duke,ou=sme,dc=mycp,dc=com", "DUKE@SME"),
            ("cN=duke,OU=JavaSoft,O=Sun Microsystems", "DUKE"),
            (
                "OU=JavaSoft,O=Sun Microsystems,C=US",
                "OU=JavaSoft,O=Sun Microsystems,C=US",
            ),
        ] {
            assert_eq!(mapped(&rules, name).as_deref(), Some(expected), "{name}");
        }
    }

    /// The cases of Kafka's `testInvalidRules`, and patterns and replacements that cannot be used.
    #[test]
    fn texts_that_are_no_rules_are_refused() {
        for rules in [
            "default",
            "DEFAUL",
            "DEFAULT/L",
            "DEFAULT/U",
            "RULE:CN=(.*?),OU=ServiceUsers.*/$1",
            "rule:^CN=(.*?),OU=ServiceUsers.*$/$1/",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L/U",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/L",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/U",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/LU",
            "RULE:(?=CN)(.*)/$1/",
            "RULE:(.*)\\1/$1/",
            "RULE:CN=.*/$1/",
            "RULE:(.*)/$x/",
        ] {
            assert!(SslPrincipalMapper::parse(rules).is_err(), "{rules}");
        }
    }

    #[test]
    fn rules_contain_commas_and_escaped_slashes_and_empty_ones_are_ignored() {
        assert_eq!(mapped(" ,  , ", "CN=a"), None);
        assert_eq!(mapped(",,DEFAULT,,", "CN=a").as_deref(), Some("CN=a"));
        let rules = "RULE:^CN=((\\\\, *|\\w)+)(,.*|$)/$1/,DEFAULT";
        let name = "CN=Tkac\\, Adam,OU=ITZ,DC=geodis,DC=cz";
        assert_eq!(mapped(rules, name).as_deref(), Some("Tkac\\, Adam"));
        let rules = "RULE:^CN=a\\/(b)$/\\$\\/$1/U  ,  RULE:^.*$/other/";
        assert_eq!(mapped(rules, "CN=a/b").as_deref(), Some("$/B"));
        assert_eq!(mapped(rules, "CN=c").as_deref(), Some("other"));
    }

    #[test]
    fn numbers_without_a_group_are_text() {
        let rules = "RULE:^CN=(.*),OU=(.*)$/$1$4$23/";
        assert_eq!(mapped(rules, "CN=a,OU=b").as_deref(), Some("a$4b3"));
    }

    #[test]
    fn replacing_goes_on_behind_a_match_as_in_java() {
        // "abc".replaceAll("(.*)", "<$1>") is "<abc><>" in Java.
        assert_eq!(mapped("RULE:(.*)/<$1>/", "abc").as_deref(), Some("<abc><>"));
        assert_eq!(
            mapped("RULE:CN=(.*?)/$1/", "CN=duke").as_deref(),
            Some("duke")
        );
    }

    #[test]
    fn letters_beyond_ascii_are_no_word_characters() {
        let rules = "RULE:^CN=(\\w+)$/$1/";
        assert_eq!(mapped(rules, "CN=a_1").as_deref(), Some("a_1"));
        assert_eq!(mapped(rules, "CN=\u{e4}"), None);
    }

    proptest! {
        /// Clients choose the subjects of their certificates; the rules are the operator's.
        #[test]
        fn hostile_rules_and_names_are_no_panic_and_take_little_memory(
            rules in prop::collection::vec(prop::sample::select(&[
                "RULE:", "/", "$1", "$0", "$12", "\\", "(.*)", "(a|b)*", "CN=", ",", "DEFAULT", "L",
                "U", "[", "é", "{1,9}", "^", "$", "?", " ",
            ][..]), 0..14),
            name in "\\PC{0,100}",
            repeated in 1_usize..50,
        ) {
            let rules = rules.concat();
            let Ok(mapper) = SslPrincipalMapper::parse(&rules) else {
                return Ok(());
            };
            let name = name.repeat(repeated);
            if let Some(principal) = mapper.principal(&name) {
                // Each match takes the replacement, which has each of its groups at most so often.
                let bound = (name.len() + 2) * (rules.len() + 1) * 4;
                prop_assert!(principal.name().len() <= bound);
            }
        }
    }
}
