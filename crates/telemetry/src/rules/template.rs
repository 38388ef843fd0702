//! Replacement texts, with references to groups of a pattern, as Java's `Matcher` reads them.

/// A part of a replacement text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

/// A replacement text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// Parses a text with references to the groups of a pattern: `$1`, `${name}`; a backslash makes
    /// the next character literal. `groups` are the names of the pattern's groups, the whole match
    /// first. The error is a sentence.
    pub(super) fn parse(text: &str, groups: &[Option<String>]) -> Result<Self, String> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(next) => literal.push(next),
                    None => return Err(format!("{text:?} ends with a single backslash")),
                },
                '$' => {
                    let group = match chars.peek() {
                        Some('{') => {
                            chars.next();
                            let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                            let named = |group: &Option<String>| group.as_ref() == Some(&name);
                            let found = groups.iter().position(named);
                            found.ok_or_else(|| format!("the pattern has no group {name:?}"))?
                        }
                        Some(digit) if digit.is_ascii_digit() => {
                            let mut number = 0;
                            // As many digits as there is a group for, but at least one.
                            let mut is_first = true;
                            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                                let longer = number * 10 + digit as usize;
                                if !is_first && longer >= groups.len() {
                                    break;
                                }
                                (number, is_first) = (longer, false);
                                chars.next();
                            }
                            if number >= groups.len() {
                                let (count, has) = (groups.len() - 1, "the pattern has");
                                return Err(format!(
                                    "{text:?} uses ${number}, but {has} {count} groups"
                                ));
                            }
                            number
                        }
                        _ => {
                            return Err(format!(
                                "{text:?} has a $ without the number of a group; write \\$ for the \
                                 character itself"
                            ));
                        }
                    };
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                    parts.push(Part::Group(group));
                }
                c => literal.push(c),
            }
        }
        parts.push(Part::Text(literal));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// Whether the text is empty, whatever matches.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text with the groups of a match; a group that took no part is empty.
    pub(super) fn expand<'t>(&self, group: impl Fn(usize) -> Option<&'t str>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Group(number) => text.push_str(group(*number).unwrap_or_default()),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let names = [None, None, Some("second".to_owned()), None];
        let template = Template::parse(text, &names)?;
        let values = [Some("whole"), Some("one"), Some("two"), None];
        Ok(template.expand(|group| values[group]))
    }

    #[test]
    fn groups_are_inserted() {
        for (text, result) in [
            ("", ""),
            ("kafka_$1_$2", "kafka_one_two"),
            ("$0", "whole"),
            ("$3", ""),
            ("${second}s", "twos"),
            // There is no group 12, so the reference ends after one digit.
            ("$12", "one2"),
            ("0.$2", "0.two"),
            (r"\$1 \\", r"$1 \"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn references_to_groups_that_do_not_exist_are_refused() {
        for (text, reason) in [
            ("$4", "uses $4, but the pattern has 3 groups"),
            ("a$", "a $ without the number of a group"),
            ("$x", "a $ without the number of a group"),
            ("${third}", "no group \"third\""),
            ("a\\", "ends with a single backslash"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
