//! The protocol that a classic group uses, and the subscriptions in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};

use crate::classic::group::ClassicGroup;

impl ClassicGroup {
    /// The protocol that all members support and most prefer; of several the first in the alphabet.
    /// `None` without members, or when they have no protocol in common.
    #[must_use]
    pub fn select_protocol(&self) -> Option<String> {
        let candidates = self.candidates();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members().values() {
            *votes.entry(member.vote(&candidates)?).or_default() += 1;
        }
        let most = votes.values().max()?;
        let winner = votes.iter().find(|(_, count)| *count == most);
        winner.map(|(name, _)| (*name).to_owned())
    }

    /// The topics that the members subscribe to. `None` when they are not consumers, or when a
    /// subscription cannot be read.
    pub(super) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members().is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol()?;
        let mut topics = BTreeSet::new();
        for (member_id, member) in self.members() {
            let subscription = member.metadata(protocol).map(topics_of);
            let Some(named) = subscription.flatten() else {
                tracing::warn!(
                    member = %member_id,
                    protocol,
                    "the subscription of a member can't be read: offsets of its group expire as if \
                     it subscribed to all topics"
                );
                return None;
            };
            topics.extend(named);
        }
        Some(topics)
    }

    /// The topics that the members subscribe to, if they are known.
    #[must_use]
    pub fn subscribed_topics(&self) -> Option<&BTreeSet<String>> {
        self.subscribed_topics.as_ref()
    }
}

/// The topics of a `ConsumerProtocolSubscription`. All versions begin with the fields of version 0.
fn topics_of(metadata: &Bytes) -> Option<Vec<String>> {
    let mut rest: &[u8] = metadata;
    let version = rest.try_get_i16().ok()?;
    let count = rest.try_get_i32().ok()?;
    if version < 0 || count < 0 {
        return None;
    }
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_a_subscription_are_read_and_a_torn_one_is_refused() {
        let whole = Bytes::from_static(b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\0\0\0\0later fields");
        assert_eq!(
            topics_of(&whole),
            Some(vec!["a".to_owned(), "bc".to_owned()])
        );
        assert_eq!(topics_of(&whole.slice(..12)), None);
        assert_eq!(topics_of(&Bytes::new()), None);
        let huge = Bytes::from_static(b"\0\0\x7f\xff\xff\xff\0\x01a");
        assert_eq!(topics_of(&huge), None);
    }
}
