//! Names of MBeans, and patterns of such names, as JMX's `ObjectName` reads them.

use std::collections::BTreeMap;

/// A name, or a pattern of names: `domain:key=value,…`. In the domain and in values `*` matches any
/// text and `?` any character; `,*` at the end allows further properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    domain: String,
    properties: BTreeMap<String, String>,
    allows_more: bool,
}

impl ObjectName {
    /// Parses a name or a pattern. The error is a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((domain, list)) = text.split_once(':') else {
            return Err(format!(
                "{text:?} is no object name: it has to be domain:key=value,…"
            ));
        };
        let mut name = Self {
            domain: domain.to_owned(),
            properties: BTreeMap::new(),
            allows_more: false,
        };
        if list.is_empty() {
            return Err(format!("{text:?} is no object name: it has no properties"));
        }
        for item in items(list) {
            if item == "*" && !name.allows_more {
                name.allows_more = true;
                continue;
            }
            let pair = item.split_once('=').filter(|(key, _)| !key.is_empty());
            let Some((key, value)) = pair else {
                return Err(format!(
                    "{text:?} is no object name: {item:?} is no key=value"
                ));
            };
            let before = name.properties.insert(key.to_owned(), value.to_owned());
            if before.is_some() {
                return Err(format!("{text:?} is no object name: {key} occurs twice"));
            }
        }
        Ok(name)
    }

    /// Whether the pattern matches a name.
    pub(crate) fn matches(&self, domain: &str, properties: &[(&str, &str)]) -> bool {
        if !is_like(&self.domain, domain) {
            return false;
        }
        let all_match = self.properties.iter().all(|(key, value)| {
            let own = properties.iter().find(|(own, _)| own == key);
            own.is_some_and(|(_, own)| is_like(value, own))
        });
        all_match && (self.allows_more || properties.len() == self.properties.len())
    }
}

/// Splits a list of properties at the commas outside of quotes.
fn items(list: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in list.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&list[start..]);
    items
}

/// Whether a text matches a pattern with `*` and `?`.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last `*`, and the text that it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_names() {
        let name = (
            "kafka.log",
            [("type", "Log"), ("name", "Size"), ("topic", "a,b")],
        );
        for (pattern, is_match) in [
            ("kafka.log:*", true),
            ("*:*", true),
            ("kafka.*:*", true),
            ("kafka.lo?:*", true),
            ("kafka:*", false),
            ("kafka.log:type=Log,*", true),
            ("kafka.log:type=Log", false),
            ("kafka.log:type=L*,name=S?ze,*", true),
            ("kafka.log:*,name=Size", true),
            ("kafka.log:type=Log,name=Count,*", false),
            ("kafka.log:type=Log,partition=*,*", false),
            ("kafka.log:topic=a*b,type=*,name=*", true),
            ("kafka.log:topic=*c,*", false),
        ] {
            let parsed = ObjectName::parse(pattern).unwrap();
            assert_eq!(parsed.matches(name.0, &name.1), is_match, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "kafka",
            "kafka:",
            "kafka:type",
            "kafka:=a",
            "kafka:a=1,a=2",
            "kafka:*,*",
        ] {
            assert!(ObjectName::parse(text).is_err(), "{text}");
        }
        let quoted = ObjectName::parse(r#"d:a="x,\"y",b=2"#).unwrap();
        assert!(quoted.matches("d", &[("b", "2"), ("a", r#""x,\"y""#)]));
    }
}
