//! The search for the prefixes of a name in an ordered set of names.

/// The members of an ordered set that are prefixes of a name, the longest first.
pub(super) struct Prefixes<'a, F> {
    /// The longest prefix of the name that has not been looked up; `None` at the end.
    rest: Option<&'a str>,
    floor: F,
}

/// Returns the members of an ordered set that are prefixes of `name`. `floor` returns the greatest
/// member that is not greater than its argument. It is called once for each prefix that is found,
/// and otherwise only for lengths at which a member diverges from the name.
pub(super) fn prefixes<'a, 'm, T, F>(name: &'a str, floor: F) -> Prefixes<'a, F>
where
    F: FnMut(&str) -> Option<(&'m str, T)>,
{
    Prefixes {
        rest: Some(name),
        floor,
    }
}

impl<'m, T, F> Iterator for Prefixes<'_, F>
where
    F: FnMut(&str) -> Option<(&'m str, T)>,
{
    type Item = (&'m str, T);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(rest) = self.rest {
            let Some((member, value)) = (self.floor)(rest) else {
                self.rest = None;
                break;
            };
            let common = common_prefix(rest, member);
            // No prefix of the name is longer than the common part, and less than `rest`.
            if common == member.len() {
                let last = rest[..common].char_indices().next_back();
                self.rest = last.map(|(at, _)| &rest[..at]);
                return Some((member, value));
            }
            self.rest = Some(&rest[..common]);
        }
        None
    }
}

/// Returns the length of the longest common prefix, in bytes.
fn common_prefix(a: &str, b: &str) -> usize {
    let mut same = a.char_indices().zip(b.chars());
    let differ = same.find(|((_, a), b)| a != b);
    differ.map_or(a.len().min(b.len()), |((at, _), _)| at)
}

#[cfg(test)]
mod tests {
    use core::ops::Bound;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found<'m>(members: &BTreeSet<&'m str>, name: &str) -> (Vec<&'m str>, usize) {
        let mut lookups = 0;
        let floor = |rest: &str| {
            lookups += 1;
            let member = members
                .range::<str, _>((Bound::Unbounded, Bound::Included(rest)))
                .next_back()?;
            Some((*member, ()))
        };
        let found = prefixes(name, floor).map(|(member, ())| member).collect();
        (found, lookups)
    }

    #[test]
    fn prefixes_are_found_from_the_longest_to_the_shortest() {
        let members = BTreeSet::from(["", "eeee", "f", "fa", "fb", "foo", "foob", "gar", "größe"]);
        assert_eq!(found(&members, "foobar").0, ["foob", "foo", "f", ""]);
        assert_eq!(found(&members, "größer").0, ["größe", ""]);
        assert_eq!(found(&members, "gröss").0, [""]);
        assert_eq!(found(&members, "").0, [""]);
        assert_eq!(found(&BTreeSet::new(), "foobar").0, [""; 0]);
    }

    #[test]
    fn members_that_are_no_prefixes_cost_no_lookups() {
        let names: Vec<String> = (0..10_000).map(|n| format!("topic-{n:05}-x")).collect();
        let mut members: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        members.insert("topic-");
        let (prefixes, lookups) = found(&members, "topic-05000-y");
        assert_eq!(prefixes, ["topic-"]);
        assert!(lookups <= 13, "{lookups} lookups");
    }

    proptest! {
        #[test]
        fn the_search_finds_what_a_scan_finds(
            members in prop::collection::btree_set("[abä]{0,5}", 0..30),
            name in "[abä]{0,6}",
        ) {
            let members: BTreeSet<&str> = members.iter().map(String::as_str).collect();
            let mut scan: Vec<_> =
                members.iter().copied().filter(|member| name.starts_with(member)).collect();
            scan.reverse();
            prop_assert_eq!(found(&members, &name).0, scan);
        }
    }
}
