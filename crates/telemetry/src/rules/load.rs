//! Reads a rule file.

use std::collections::BTreeSet;

use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

use super::pattern::Pattern;
use super::template::Template;
use super::{Rule, Rules};
use crate::family::Kind;
use crate::object_name::ObjectName;

/// Why a rule file cannot be used. The message names the rule and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The file is not YAML.
    #[error("the file is not valid YAML: {0}")]
    Yaml(String),
    /// An entry outside of the rules.
    #[error("{key}: {reason}")]
    Entry {
        /// The name of the entry.
        key: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// An entry of a rule.
    #[error("rule {number}: {key}: {reason}")]
    Rule {
        /// The number of the rule in the file; the first is 1.
        number: usize,
        /// The name of the entry.
        key: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// An entry that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

/// Entries of the agent's file that have no effect here: they are about the JVM.
const WITHOUT_EFFECT: &[&str] = &[
    "autoExcludeObjectNameAttributes",
    "password",
    "ssl",
    "startDelaySeconds",
    "username",
];

/// Entries that would make the agent read other numbers, or protect them.
const UNSUPPORTED: &[(&str, &str)] = &[
    (
        "hostPort",
        "the agent refuses it too; remove it, because a node exposes its own metrics only",
    ),
    (
        "jmxUrl",
        "the agent refuses it too; remove it, because a node exposes its own metrics only",
    ),
    (
        "httpServer",
        "the HTTP listener has neither TLS nor authentication yet; remove the entry, and let only \
         Prometheus reach the port",
    ),
];

const KNOWN: &[&str] = &[
    "blacklistObjectNames",
    "excludeObjectNameAttributes",
    "excludeObjectNames",
    "includeObjectNames",
    "lowercaseOutputLabelNames",
    "lowercaseOutputName",
    "rules",
    "whitelistObjectNames",
];

const KNOWN_OF_RULE: &[&str] = &[
    "attrNameSnakeCase",
    "cache",
    "help",
    "labels",
    "name",
    "pattern",
    "type",
    "value",
    "valueFactor",
];

impl Rules {
    /// Reads the text of a rule file. Entries that the agent ignores are warnings.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(text: &str) -> Result<(Self, Vec<Warning>), RuleError> {
        let documents = YamlLoader::load_from_str(text);
        let documents = documents.map_err(|error| RuleError::Yaml(error.to_string()))?;
        let empty = Hash::new();
        let entries = match documents.first() {
            None | Some(Yaml::Null) => &empty,
            Some(Yaml::Hash(entries)) => entries,
            Some(_) => {
                return Err(RuleError::Yaml(
                    "it has to be a map, such as rules: […]".to_owned(),
                ));
            }
        };
        let mut warnings = Vec::new();
        for key in entries.keys() {
            let key = key.as_str().unwrap_or_default();
            if let Some((_, reason)) = UNSUPPORTED.iter().find(|(name, _)| *name == key) {
                return Err(entry(key, (*reason).to_owned()));
            }
            if WITHOUT_EFFECT.contains(&key) {
                warnings.push(Warning(format!("{key} has no effect")));
            } else if !KNOWN.contains(&key) {
                warnings.push(Warning(format!("{key:?} is no entry of a rule file")));
            }
        }
        let given = |names: [&'static str; 2]| {
            let found = names
                .into_iter()
                .find(|name| entries.contains_key(&key(name)));
            found.map(|name| object_names(entries, name)).transpose()
        };
        let mut rules = Self {
            lowercase_name: flag(entries, "lowercaseOutputName")?,
            lowercase_labels: flag(entries, "lowercaseOutputLabelNames")?,
            include: given(["includeObjectNames", "whitelistObjectNames"])?,
            exclude: given(["excludeObjectNames", "blacklistObjectNames"])?.unwrap_or_default(),
            exclude_attributes: exclude_attributes(entries)?,
            rules: Vec::new(),
        };
        match entries.get(&key("rules")) {
            // One rule without anything: all attributes get the names of their MBeans.
            None => rules.rules.push(Rule::default()),
            Some(Yaml::Null) => {}
            Some(Yaml::Array(list)) => {
                for (index, item) in list.iter().enumerate() {
                    rules.rules.push(rule(index + 1, item, &mut warnings)?);
                }
            }
            Some(_) => return Err(entry("rules", "it has to be a list".to_owned())),
        }
        Ok((rules, warnings))
    }
}

fn key(name: &str) -> Yaml {
    Yaml::String(name.to_owned())
}

fn entry(key: &str, reason: String) -> RuleError {
    RuleError::Entry {
        key: key.to_owned(),
        reason,
    }
}

fn flag(entries: &Hash, name: &'static str) -> Result<bool, RuleError> {
    match entries.get(&key(name)) {
        None => Ok(false),
        Some(Yaml::Boolean(value)) => Ok(*value),
        Some(_) => Err(entry(name, "it has to be true or false".to_owned())),
    }
}

fn object_names(entries: &Hash, name: &'static str) -> Result<Vec<ObjectName>, RuleError> {
    let Some(Yaml::Array(list)) = entries.get(&key(name)) else {
        return Err(entry(
            name,
            "it has to be a list of object names".to_owned(),
        ));
    };
    let parse = |item: &Yaml| {
        let text = item.as_str();
        let text = text.ok_or_else(|| entry(name, "an object name has to be a text".to_owned()))?;
        ObjectName::parse(text).map_err(|reason| entry(name, reason))
    };
    list.iter().map(parse).collect()
}

fn exclude_attributes(entries: &Hash) -> Result<Vec<(ObjectName, BTreeSet<String>)>, RuleError> {
    const NAME: &str = "excludeObjectNameAttributes";
    let shape = || {
        entry(
            NAME,
            "it has to map object names to lists of attributes".to_owned(),
        )
    };
    let Some(map) = entries.get(&key(NAME)) else {
        return Ok(Vec::new());
    };
    let map = map.as_hash().ok_or_else(shape)?;
    let one = |(bean, names): (&Yaml, &Yaml)| -> Result<_, RuleError> {
        let bean = bean.as_str().ok_or_else(shape)?;
        let bean = ObjectName::parse(bean).map_err(|reason| entry(NAME, reason))?;
        let names = names.as_vec().ok_or_else(shape)?.iter();
        let names = names.map(|name| name.as_str().map(str::to_owned).ok_or_else(shape));
        Ok((bean, names.collect::<Result<_, _>>()?))
    };
    map.iter().map(one).collect()
}

/// The entries of one rule.
struct Entries<'a> {
    number: usize,
    entries: &'a Hash,
}

impl Entries<'_> {
    fn wrong(&self, key: &'static str, reason: impl Into<String>) -> RuleError {
        RuleError::Rule {
            number: self.number,
            key,
            reason: reason.into(),
        }
    }

    /// Returns an entry as text; numbers are written as in the file.
    fn text(&self, name: &'static str) -> Result<Option<String>, RuleError> {
        let Some(value) = self.entries.get(&key(name)) else {
            return Ok(None);
        };
        let text = scalar(value).ok_or_else(|| self.wrong(name, "it has to be a text"))?;
        Ok(Some(text))
    }

    fn flag(&self, name: &'static str) -> Result<bool, RuleError> {
        match self.entries.get(&key(name)) {
            None => Ok(false),
            Some(Yaml::Boolean(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "it has to be true or false")),
        }
    }

    fn template(
        &self,
        name: &'static str,
        groups: &[Option<String>],
    ) -> Result<Option<Template>, RuleError> {
        let text = self.text(name)?;
        let parse = |text: String| self.parsed(name, &text, groups);
        text.map(parse).transpose()
    }

    fn parsed(
        &self,
        name: &'static str,
        text: &str,
        groups: &[Option<String>],
    ) -> Result<Template, RuleError> {
        Template::parse(text, groups).map_err(|reason| self.wrong(name, reason))
    }
}

fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

fn rule(number: usize, item: &Yaml, warnings: &mut Vec<Warning>) -> Result<Rule, RuleError> {
    let Yaml::Hash(entries) = item else {
        return Err(RuleError::Rule {
            number,
            key: "pattern",
            reason: "a rule has to be a map, such as pattern: …, name: …".to_owned(),
        });
    };
    let entries = &Entries { number, entries };
    for key in entries.entries.keys() {
        let key = key.as_str().unwrap_or_default();
        if !KNOWN_OF_RULE.contains(&key) {
            warnings.push(Warning(format!(
                "rule {number}: {key:?} is no entry of a rule"
            )));
        }
    }
    let has = |name| entries.entries.contains_key(&key(name));
    if has("name") && !has("pattern") {
        return Err(entries.wrong("name", "a rule with a name needs a pattern; add one"));
    }
    for name in ["labels", "help"] {
        if has(name) && !has("name") {
            return Err(entries.wrong(name, "it needs a name in the same rule; add one"));
        }
    }
    if has("value") && !has("pattern") {
        return Err(entries.wrong("value", "a rule with a value needs a pattern; add one"));
    }
    let compile = |text: String| {
        let compiled = Pattern::compile(&text);
        compiled.map_err(|error| entries.wrong("pattern", format!("correct {text:?}: {error}")))
    };
    let pattern = entries.text("pattern")?.map(compile).transpose()?;
    let groups = pattern.as_ref().map(Pattern::groups).unwrap_or_default();
    let value = entries.template("value", &groups)?;
    Ok(Rule {
        name: entries.template("name", &groups)?,
        // An empty value is none, as in the agent.
        value: value.filter(|value| !value.is_empty()),
        // What is no number counts as 1, as in the agent.
        value_factor: entries
            .text("valueFactor")?
            .and_then(|text| text.parse().ok()),
        help: entries.template("help", &groups)?,
        labels: labels(entries, &groups)?,
        kind: entries.text("type")?.map(|text| match text.as_str() {
            "COUNTER" => Kind::Counter,
            "GAUGE" => Kind::Gauge,
            _ => Kind::Unknown,
        }),
        snake_case: entries.flag("attrNameSnakeCase")?,
        cached: entries.flag("cache")?,
        pattern,
    })
}

fn labels(
    entries: &Entries<'_>,
    groups: &[Option<String>],
) -> Result<Vec<(Template, Template)>, RuleError> {
    const NAME: &str = "labels";
    let labels = match entries.entries.get(&key(NAME)) {
        None => return Ok(Vec::new()),
        Some(Yaml::Hash(labels)) => labels,
        Some(_) => return Err(entries.wrong(NAME, "it has to map names to values")),
    };
    let template = |text: &Yaml| {
        let text = scalar(text);
        let text = text.ok_or_else(|| entries.wrong(NAME, "names and values have to be texts"))?;
        entries.parsed(NAME, &text, groups)
    };
    let label = |(name, value): (&Yaml, &Yaml)| -> Result<_, RuleError> {
        Ok((template(name)?, template(value)?))
    };
    labels.iter().map(label).collect()
}
