//! Rule files of Prometheus's jmx_exporter, applied as the agent (version 1.0.1) applies them.
//!
//! An attribute of an MBean is written as `domain<key=value, key=value><>attribute: value`, and
//! the first rule whose pattern matches that text decides about its series. A rule without a name
//! names it after the MBean; one with an empty name drops it. Without rules all attributes get
//! their names in that way, and with rules those that no rule matches are left out.
//!
//! What the agent rejects while it runs (a group that does not exist, a `value` without a pattern)
//! is an error when the file is read.

use std::collections::{BTreeMap, BTreeSet};

use crate::Value;
use crate::family::{Kind, Series};
use crate::object_name::ObjectName;

mod load;
mod naming;
mod pattern;
mod template;
#[cfg(test)]
mod tests;

pub use load::{RuleError, Warning};

use naming::{is_label_name, java_double, safe_name, snake_case, without_reserved_suffix};
use pattern::Pattern;
use template::Template;

/// The rules that are built in. Their names are those of Strimzi's published rules.
pub const DEFAULT: &str = include_str!("default.yaml");

/// One rule of a file.
#[derive(Debug, Default)]
struct Rule {
    pattern: Option<Pattern>,
    name: Option<Template>,
    value: Option<Template>,
    value_factor: Option<f64>,
    help: Option<Template>,
    labels: Vec<(Template, Template)>,
    kind: Option<Kind>,
    snake_case: bool,
    /// Whether the value is hidden from the pattern.
    cached: bool,
}

/// The rules of a file.
#[derive(Debug, Default)]
pub struct Rules {
    lowercase_name: bool,
    lowercase_labels: bool,
    /// `None` includes all.
    include: Option<Vec<ObjectName>>,
    exclude: Vec<ObjectName>,
    exclude_attributes: Vec<(ObjectName, BTreeSet<String>)>,
    rules: Vec<Rule>,
}

/// An attribute of an MBean, with its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub(crate) domain: &'a str,
    /// The properties of the MBean's name, in their order.
    pub(crate) properties: &'a [(&'a str, &'a str)],
    pub(crate) name: &'a str,
    pub(crate) help: &'a str,
    pub(crate) value: Value<'a>,
}

/// Why an attribute that a rule matches has no series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The agent would fail the whole scrape: a label that Prometheus does not accept, or a pattern
    /// that tries too much.
    Rule,
    /// A text, for which a rule has no `value`; or a value that is no number.
    Value,
}

impl Rules {
    /// Whether the file leaves an MBean or attribute out.
    fn is_excluded(&self, attribute: &Attribute<'_>) -> bool {
        let matches = |name: &ObjectName| name.matches(attribute.domain, attribute.properties);
        let is_included = self
            .include
            .as_ref()
            .is_none_or(|it| it.iter().any(matches));
        !is_included
            || self.exclude.iter().any(matches)
            || self
                .exclude_attributes
                .iter()
                .any(|(bean, names)| names.contains(attribute.name) && matches(bean))
    }

    /// Returns the series of an attribute; `Ok(None)` when the rules leave it out.
    pub(crate) fn apply(&self, attribute: &Attribute<'_>) -> Result<Option<Series>, Unusable> {
        if self.is_excluded(attribute) {
            return Ok(None);
        }
        let bean = bean_text(attribute);
        let value_text = match attribute.value {
            Value::Long(value) => value.to_string(),
            Value::Double(value) => java_double(value),
            Value::Text(text) => text.to_owned(),
        };
        for rule in &self.rules {
            let snake = rule.snake_case.then(|| snake_case(attribute.name));
            let name = snake.as_deref().unwrap_or(attribute.name);
            let value = if rule.cached { "<cache>" } else { &value_text };
            let text = format!("{bean}{name}: {value}");
            let captures = match &rule.pattern {
                None => None,
                Some(pattern) => match pattern.matches(&text) {
                    Ok(Some(captures)) => Some(captures),
                    Ok(None) => continue,
                    Err(pattern::GaveUp) => return Err(Unusable::Rule),
                },
            };
            let group = |number: usize| {
                let captures = captures.as_ref()?;
                captures.get(number).map(|group| group.as_str())
            };
            return self.series(rule, attribute, name, &text, &group);
        }
        Ok(None)
    }

    /// Makes the series of an attribute that `rule` matches.
    fn series<'t>(
        &self,
        rule: &Rule,
        attribute: &Attribute<'_>,
        attribute_name: &str,
        text: &str,
        group: &impl Fn(usize) -> Option<&'t str>,
    ) -> Result<Option<Series>, Unusable> {
        let factor = rule.value_factor.unwrap_or(1.0);
        let value = match (&rule.value, attribute.value) {
            (Some(template), _) => {
                let text = template.expand(group);
                text.trim().parse::<f64>().map_err(|_| Unusable::Value)?
            }
            (None, Value::Long(value)) => value as f64,
            (None, Value::Double(value)) => value,
            // Drops the attribute even if a later rule would match, as the agent does.
            (None, Value::Text(_)) => f64::NAN,
        };
        let mut help = default_help(attribute);
        let (name, labels) = match &rule.name {
            None => self.default_name(attribute, attribute_name),
            Some(template) => {
                let name = safe_name(&template.expand(group));
                if name.is_empty() {
                    return Ok(None);
                }
                if let Some(template) = &rule.help {
                    help = template.expand(group);
                }
                (name, self.labels(rule, group))
            }
        };
        if rule.value.is_none() && matches!(attribute.value, Value::Text(_)) {
            return Err(Unusable::Value);
        }
        let mut named = BTreeMap::new();
        for (label, value) in labels {
            if !is_label_name(&label) || named.insert(label, value).is_some() {
                return Err(Unusable::Rule);
            }
        }
        let name = match self.lowercase_name {
            true => name.to_lowercase(),
            false => name,
        };
        let end = text.rfind(':').unwrap_or(text.len());
        Ok(Some(Series {
            name: without_reserved_suffix(&name).to_owned(),
            kind: rule.kind.unwrap_or(Kind::Unknown),
            help,
            labels: named,
            value: value * factor,
            origin: text[..end].to_owned(),
        }))
    }

    fn labels<'t>(
        &self,
        rule: &Rule,
        group: &impl Fn(usize) -> Option<&'t str>,
    ) -> Vec<(String, String)> {
        let labels = rule.labels.iter().map(|(name, value)| {
            let name = self.label_name(&name.expand(group));
            (name, value.expand(group))
        });
        labels
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .collect()
    }

    fn label_name(&self, text: &str) -> String {
        let name = safe_name(text);
        match self.lowercase_labels {
            true => name.to_lowercase(),
            false => name,
        }
    }

    /// Names a series after its MBean: the domain, the value of the first property and the
    /// attribute. The other properties are labels.
    fn default_name(
        &self,
        attribute: &Attribute<'_>,
        attribute_name: &str,
    ) -> (String, Vec<(String, String)>) {
        let mut name = attribute.domain.to_owned();
        let mut properties = attribute.properties.iter();
        if let Some((_, value)) = properties.next() {
            name = format!("{name}_{value}");
        }
        let name = safe_name(&format!("{name}_{attribute_name}"));
        let labels = properties.map(|(key, value)| (self.label_name(key), (*value).to_owned()));
        (name, labels.collect())
    }
}

/// Writes `domain<key=value, …><>`.
fn bean_text(attribute: &Attribute<'_>) -> String {
    let mut text = format!("{}<", attribute.domain);
    for (index, (key, value)) in attribute.properties.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.extend([*key, "=", *value]);
    }
    text.push_str("><>");
    text
}

fn default_help(attribute: &Attribute<'_>) -> String {
    let property = |wanted: &str| {
        let found = attribute.properties.iter().find(|(key, _)| *key == wanted);
        found.map_or("null", |(_, value)| *value)
    };
    let (domain, name, kind) = (attribute.domain, property("name"), property("type"));
    let (help, attribute) = (attribute.help, attribute.name);
    format!("{help} {domain}:name={name},type={kind},attribute={attribute}")
}
