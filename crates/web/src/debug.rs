//! `/debug`: what the node does now, as JSON, for engineers and for `dohle explain`.
//!
//! With an authorizer only connections from the node's own machine are answered, because the ACLs
//! of Kafka's clients do not cover these pages.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::json;

use crate::console::{ApiError, Connected, guard, json_response};
use crate::{ConsoleSettings, Node};

/// The most entries of a page, where the request names no limit.
const LIMIT_DEFAULT: usize = 100;
/// The most entries of a page that a request may ask for.
const LIMIT_MAX: usize = 10_000;

/// A page under `/debug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugPage {
    /// The replicas on this node.
    Partitions,
    /// The streams between this broker and others.
    Replication,
    /// The requests that wait.
    Requests,
    /// The groups that this broker coordinates.
    Groups,
    /// The timers of the coordinators.
    Timers,
}

/// A row of the index: the page, its name in the path, what it shows, and what selects entries.
type Row = (
    DebugPage,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const PAGES: [Row; 5] = [
    (
        DebugPage::Partitions,
        "partitions",
        "the replicas on this broker: role, offsets, ISR, followers, and the changes of the leader \
         and the ISR within the last day with their reasons",
        &["topic", "partition"],
    ),
    (
        DebugPage::Replication,
        "replication",
        "the streams from leaders to this broker, and the followers of its partitions",
        &["topic", "partition"],
    ),
    (
        DebugPage::Requests,
        "requests",
        "requests that are parked: in coordinators, and for the commit of records",
        &["topic", "partition"],
    ),
    (
        DebugPage::Groups,
        "groups",
        "the groups that this broker coordinates; with a group also its members, and its \
         rebalances within the last day with their causes",
        &["group"],
    ),
    (
        DebugPage::Timers,
        "timers",
        "the timers of the coordinators, the first one to expire first",
        &["group"],
    ),
];

/// What selects the entries of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugQuery {
    /// `topic`: this topic alone.
    pub topic: Option<String>,
    /// `partition`: this index alone.
    pub partition: Option<i32>,
    /// `group`: this group alone.
    pub group: Option<String>,
    /// `after`: entries after this one, which the page before returned as `next`.
    pub after: Option<String>,
    /// `limit`: at most this many entries.
    pub limit: usize,
}

impl Default for DebugQuery {
    fn default() -> Self {
        Self {
            topic: None,
            partition: None,
            group: None,
            after: None,
            limit: LIMIT_DEFAULT,
        }
    }
}

impl DebugQuery {
    fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            let number =
                || format!("{name} must be a whole number that is not negative: {value:?}");
            match name {
                "topic" => parsed.topic = Some(value),
                "partition" => {
                    let index = value.parse().ok().filter(|index| *index >= 0);
                    parsed.partition = Some(index.ok_or_else(number)?);
                }
                "group" => parsed.group = Some(value),
                "after" => parsed.after = Some(value),
                "limit" => {
                    let limit: usize = value.parse().map_err(|_| number())?;
                    parsed.limit = limit.min(LIMIT_MAX);
                }
                other => {
                    return Err(format!(
                        "There is no parameter {other:?}, only topic, partition, group, after and \
                         limit."
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

/// Decodes a value of a query: `%2F` is `/`, and `+` a space.
fn decode(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not encoded as a part of a URL.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                u8::try_from(value.ok_or_else(wrong)?).map_err(|_| wrong())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[derive(Clone)]
struct Debug {
    node: Arc<dyn Node>,
    /// The node's id.
    id: i32,
    /// Whether an authorizer decides what clients may do.
    authorizer: bool,
}

type Answer = Result<Response, ApiError>;

/// Returns the routes below `/debug`.
pub(crate) fn routes(node: Arc<dyn Node>, settings: &ConsoleSettings) -> Router {
    let (id, authorizer) = (settings.node_id, settings.authorizer);
    Router::new()
        .route("/debug", get(index))
        .route("/debug/", get(index))
        .route("/debug/{page}", get(page))
        .layer(from_fn(guard))
        .with_state(Debug {
            node,
            id,
            authorizer,
        })
}

async fn index(State(debug): State<Debug>, connected: Option<Extension<Connected>>) -> Answer {
    debug.check(connected)?;
    let pages = PAGES.map(|(_, name, shows, parameters)| {
        json!({
            "path": format!("/debug/{name}"),
            "shows": shows,
            "parameters": parameters,
        })
    });
    Ok(json_response(
        StatusCode::OK,
        &json!({ "node": debug.id, "pages": pages }),
    ))
}

async fn page(
    State(debug): State<Debug>,
    connected: Option<Extension<Connected>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    debug.check(connected)?;
    let page = PAGES.iter().find(|(_, known, _, _)| *known == name);
    let (page, ..) = page.ok_or_else(|| {
        ApiError::not_found("There is no such page; /debug lists those that there are.")
    })?;
    let query = DebugQuery::parse(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    let shown = debug
        .node
        .debug(*page, query)
        .await
        .ok_or_else(|| ApiError::not_found("This node is only a controller: ask a broker."))?;
    Ok(json_response(StatusCode::OK, &shown).into_response())
}

impl Debug {
    /// Refuses other machines where an authorizer decides what clients may see.
    fn check(&self, connected: Option<Extension<Connected>>) -> Result<(), ApiError> {
        let peer = connected.map(|Extension(connected)| connected.peer.ip().to_canonical());
        if !self.authorizer || peer.is_some_and(|peer| peer.is_loopback()) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "This cluster has an authorizer, whose ACLs do not cover /debug: only the node's own \
             machine may read it. Run the command there.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_an_authorizer_only_the_machine_of_the_node_is_answered() {
        let is_answered = |authorizer: bool, peer: &str| {
            let node: Arc<dyn Node> = Arc::new(crate::tests::Fixed);
            let peer = peer.parse().unwrap();
            let id = 1;
            let debug = Debug {
                node,
                id,
                authorizer,
            };
            debug.check(Some(Extension(Connected { peer }))).is_ok()
        };
        assert!(is_answered(false, "10.0.0.7:5"));
        assert!(is_answered(true, "127.0.0.1:5"));
        assert!(is_answered(true, "[::ffff:127.0.0.1]:5"));
        assert!(!is_answered(true, "10.0.0.7:5"));
    }

    #[test]
    fn a_query_selects_entries() {
        let parsed = DebugQuery::parse("topic=a%2Eb&partition=3&group=g+%C3%BC&after=x&limit=5");
        let expected = DebugQuery {
            topic: Some("a.b".to_owned()),
            partition: Some(3),
            group: Some("g ü".to_owned()),
            after: Some("x".to_owned()),
            limit: 5,
        };
        assert_eq!(parsed, Ok(expected));
        assert_eq!(DebugQuery::parse(""), Ok(DebugQuery::default()));
        let most = DebugQuery::parse("limit=99999999").map(|query| query.limit);
        assert_eq!(most, Ok(LIMIT_MAX));
        for wrong in [
            "limit=-1",
            "partition=-1",
            "topics=a",
            "topic=%4",
            "topic=%FF",
        ] {
            assert!(DebugQuery::parse(wrong).is_err(), "{wrong}");
        }
    }
}
