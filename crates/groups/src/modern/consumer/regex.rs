//! Regular expressions that members subscribe to, and the topics they match.
//!
//! The syntax is RE2's. The `regex` crate has the same except for `\Q…\E`, which is rewritten. An
//! expression has to match the whole name of a topic. Matching takes time linear in the name, and
//! the memory of a compiled expression is bounded, so no expression can stall the coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_model::ErrorCode;
use dohle_model::image::MetadataImage;
use regex::RegexBuilder;

use crate::Step;
use crate::ids::GroupId;
use crate::modern::consumer::group::{ConsumerGroup, Resolved};
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::topics::{Topics, version};
use crate::records::Record;
use crate::step::Failed;

/// How much memory a compiled expression may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The shortest time between two searches of all topics for one group.
const REFRESH_INTERVAL_MIN_MS: i64 = 10_000;

/// The expressions of a group after a request.
#[derive(Debug)]
pub(crate) struct Regexes {
    /// The matched topics of each expression that a member subscribes to.
    pub resolved: BTreeMap<String, Arc<Resolved>>,
    /// Whether the topics of the group may have changed.
    pub changed: bool,
    /// Whether the group epoch rises. As in Apache Kafka, a new expression that matches no topic
    /// does not raise it.
    pub raises_epoch: bool,
    /// Whether the member that sent the request changed its expression.
    pub own_changed: bool,
}

/// Updates the expressions of a group when a member changes: resolves the member's new expression,
/// and all expressions when topics were added or `group.consumer.regex.refresh.interval.ms` is
/// over.
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION for the member's new expression. When an expression is not resolved
/// yet, [`Step::unresolved`](dohle_machine::Step::unresolved) names it.
pub(crate) fn update(
    group_id: &GroupId,
    group: &ConsumerGroup,
    old: &ConsumerMember,
    new: &ConsumerMember,
    topics: &Topics,
    step: &mut Step<'_>,
) -> Result<Regexes, Failed> {
    let own_changed = old.regex() != new.regex();
    let is_known =
        |regex: &str| group.regexes().contains(regex) && group.resolved().contains_key(regex);
    let mut regexes = Regexes {
        resolved: group.resolved().clone(),
        changed: own_changed,
        raises_epoch: own_changed && new.regex().is_none_or(is_known),
        own_changed,
    };
    if own_changed {
        if let Some(regex) = old.regex()
            && group.regexes().get(regex) == 1
            && group.member(old.id().as_str()).is_some()
        {
            regexes.resolved.remove(regex);
            let (group_id, regex) = (group_id.clone(), regex.to_owned());
            step.write(Record::ConsumerRegex(group_id, regex, None));
        }
        if let Some(regex) = new.regex()
            && !group.regexes().contains(regex)
            && let Some(Err(failed)) = step.lookups.and_then(|matches| matches.found.get(regex))
        {
            return Err(failed.clone());
        }
    }
    let subscribed = group.regexes().names();
    let mut subscribed: Vec<&str> = subscribed.chain(new.regex()).collect();
    subscribed.sort_unstable();
    subscribed.dedup();
    if own_changed && let Some(left) = old.regex() {
        let others = group.regexes().get(left) > 1;
        subscribed.retain(|regex| *regex != left || others);
    }
    // A request that cannot be planned again leaves the expressions to the next heartbeat.
    let Some(matches) = step.lookups else {
        return Ok(regexes);
    };
    if !is_due(&regexes.resolved, &subscribed, topics, step) {
        subscribed.retain(|regex| !regexes.resolved.contains_key(*regex));
    }
    let lacking = subscribed
        .iter()
        .filter(|regex| !matches.found.contains_key(**regex));
    let lacking: Vec<String> = lacking.map(|regex| (*regex).to_owned()).collect();
    if !lacking.is_empty() {
        step.unresolved = lacking;
        // The client sees this error only if the caller does not plan the request again.
        return Err(ErrorCode::CoordinatorLoadInProgress.into());
    }
    for regex in subscribed {
        let Some(resolved) = matches.get(regex, step) else {
            continue;
        };
        let resolved = Arc::new(resolved);
        let before = regexes.resolved.insert(regex.to_owned(), resolved.clone());
        let is_new = match before {
            Some(before) => before.topics != resolved.topics,
            None => !resolved.topics.is_empty(),
        };
        regexes.changed |= is_new;
        regexes.raises_epoch |= is_new;
        let record = Some(resolved.to_record());
        step.write(Record::ConsumerRegex(
            group_id.clone(),
            regex.to_owned(),
            record,
        ));
    }
    Ok(regexes)
}

/// Whether all expressions of a group have to be resolved again.
fn is_due(
    resolved: &BTreeMap<String, Arc<Resolved>>,
    subscribed: &[&str],
    topics: &Topics,
    step: &Step<'_>,
) -> bool {
    let known = subscribed.iter().filter_map(|regex| resolved.get(*regex));
    let Some(oldest) = known.min_by_key(|resolved| resolved.timestamp) else {
        return false;
    };
    let age = step.wall.0.saturating_sub(oldest.timestamp.0);
    let interval = step.config.group_consumer_regex_refresh_interval;
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    // A clock that was set back must not delay this.
    let may = !(0..REFRESH_INTERVAL_MIN_MS).contains(&age);
    may && (topics.came_after(oldest.version) || age > interval)
}

/// The topics that expressions match. They are searched between steps, because a search takes long.
#[derive(Debug, Default)]
pub struct Matches {
    found: BTreeMap<String, Result<Resolution, Failed>>,
}

/// The topics that one expression matches.
#[derive(Debug)]
struct Resolution {
    topics: BTreeSet<String>,
    version: i64,
}

impl Matches {
    /// Searches all topics of an image for those that the expressions match, and keeps them. May
    /// take long.
    pub fn resolve(&mut self, expressions: Vec<String>, image: &MetadataImage) {
        for regex in expressions {
            let names = image.topic_ids.keys().map(|name| name.as_str());
            let found = compile(&regex).map(|compiled| Resolution {
                topics: names
                    .filter(|name| compiled.is_match(name))
                    .map(str::to_owned)
                    .collect(),
                version: version(image),
            });
            self.found.insert(regex, found);
        }
    }

    /// Removes the topics for which `is_visible` returns false.
    pub fn retain_topics(&mut self, is_visible: impl Fn(&str) -> bool) {
        for resolution in self.found.values_mut().flatten() {
            resolution.topics.retain(|topic| is_visible(topic));
        }
    }

    /// The topics that an expression matches. An invalid expression, which a newer coordinator may
    /// have accepted, matches none.
    fn get(&self, regex: &str, step: &Step<'_>) -> Option<Resolved> {
        let (topics, version) = match self.found.get(regex)? {
            Ok(found) => (found.topics.clone(), found.version),
            Err(failed) => {
                tracing::warn!(%failed, "invalid regular expression matches no topic");
                (BTreeSet::new(), version(step.image))
            }
        };
        Some(Resolved {
            topics,
            version,
            timestamp: step.wall,
        })
    }
}

fn compile(regex: &str) -> Result<regex::Regex, Failed> {
    let build = |regex: &str| {
        let mut builder = RegexBuilder::new(regex);
        builder.size_limit(COMPILED_BYTES_MAX).build()
    };
    // Compiled alone first, so that a `)` in the expression cannot end the group that is put around
    // it.
    let regex_alone = unquote(regex);
    let compiled = build(&regex_alone).and_then(|_| build(&format!(r"\A(?:{regex_alone})\z")));
    compiled.map_err(|error| {
        let reason = describe(&error);
        let message =
            format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {reason}.");
        Failed::because(ErrorCode::InvalidRegularExpression, message)
    })
}

/// The error in one line.
fn describe(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("it takes more than {limit} bytes when compiled; make it simpler")
        }
        error => {
            let text = error.to_string();
            let line = text.lines().last().unwrap_or_default().trim();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

/// The expression with the text in `\Q…\E`, which RE2 takes literally, escaped.
fn unquote(regex: &str) -> String {
    let mut out = String::new();
    let mut rest = regex;
    while let Some((before, after)) = split_quote(rest) {
        let (quoted, after) = after.split_once(r"\E").unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&regex::escape(quoted));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The texts before and after the first `\Q` whose backslash is not itself escaped.
fn split_quote(regex: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in regex.bytes().enumerate() {
        if escaped && byte == b'Q' {
            return Some((&regex[..at - 1], &regex[at + 1..]));
        }
        escaped = byte == b'\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(regex: &str, matches: &[&str], others: &[&str]) {
        let compiled = compile(regex).expect("a valid expression");
        for name in matches {
            assert!(compiled.is_match(name), "{regex} should match {name}");
        }
        for name in others {
            assert!(!compiled.is_match(name), "{regex} should not match {name}");
        }
    }

    #[test]
    fn an_expression_has_to_match_the_whole_name() {
        check("foo.*", &["foo", "foobar", "foo.1"], &["afoo", "fo"]);
        check("a|b", &["a", "b"], &["ab", "ba"]);
        check("^order-[0-9]+$", &["order-1"], &["order-", "order-1x"]);
        check(r"\Qa.b\E.*", &["a.b", "a.bc"], &["axb"]);
        check(r"\\Q", &["\\Q"], &["Q"]);
    }

    fn image(topics: &[&str]) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (number, name) in (1_u8..).zip(topics) {
            let name = dohle_model::TopicName::new(name).expect("a name");
            let id = dohle_model::TopicId::from_bytes([number; 16]);
            image.topic_ids.insert(name, id);
        }
        image
    }

    #[test]
    fn matches_are_those_of_the_image_on_which_an_expression_was_resolved() {
        let mut matches = Matches::default();
        let expressions = vec!["(".to_owned(), "t.*".to_owned()];
        matches.resolve(expressions, &image(&["t1", "u1"]));
        matches.resolve(vec!["u.*".to_owned()], &image(&["t1", "t2", "u1", "u2"]));
        let topics = |regex: &str| {
            let found = matches.found[regex].as_ref().expect("a valid expression");
            Vec::from_iter(found.topics.iter().map(String::as_str))
        };
        assert_eq!(topics("t.*"), ["t1"]);
        assert_eq!(topics("u.*"), ["u1", "u2"]);
        let failed = matches.found["("].as_ref().expect_err("an open group");
        assert_eq!(failed.code, ErrorCode::InvalidRegularExpression);
    }

    #[test]
    fn an_invalid_expression_is_refused_with_the_reason() {
        let failed = compile("foo(").expect_err("an open group");
        assert_eq!(failed.code, ErrorCode::InvalidRegularExpression);
        assert_eq!(
            failed.message,
            "SubscribedTopicRegex `foo(` is not a valid regular expression: unclosed group."
        );
        // A closing parenthesis must not end the group that the expression is put into.
        assert!(compile("a)(?:b").is_err());
        let failed = compile(&"(a{1000}){1000}".repeat(2)).expect_err("too large");
        assert!(failed.message.contains("make it simpler"), "{failed}");
    }
}
