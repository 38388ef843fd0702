//! Chooses the log directory in which a replica is opened. Pure.
//!
//! Invariant: the directory in the metadata decides. A copy of the partition in another directory
//! may be older, since a replica is rebuilt in one directory while another is offline. It is never
//! used while the directory in the metadata is online or may come back.

use std::path::Path;

use dohle_model::DirectoryId;

/// What a log directory contains of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Copy {
    /// Nothing.
    None,
    /// A log of this topic id.
    Usable,
    /// No log, but a copy that was being made to move the replica here.
    Future,
    /// A log whose topic id cannot be read, with the reason.
    Unidentified(String),
}

/// The state of a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: DirectoryId,
    pub(super) path: String,
    /// Why it is offline, if it is.
    pub(super) offline: Option<String>,
    pub(super) copy: Copy,
    /// The number of replicas in it.
    pub(super) replicas: usize,
    /// Whether it gets no new replicas while another can take them.
    pub(super) is_cordoned: bool,
}

/// Where a replica is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Open the existing log in this directory.
    Use(usize),
    /// Create a log in this directory.
    Create(usize),
    /// Use the copy that was being made in this directory, because there is no other log.
    Promote(usize),
    /// The replica is offline, and counts as one of this directory.
    Offline(usize, String),
}

/// Chooses where to open a replica. `registered` is the directory in the metadata, if the broker
/// has assigned one; `unreadable` is a directory whose identity could not be read, if there is one;
/// `at_start` is whether the replica may have been there before the process started.
pub(super) fn choose(
    registered: Option<DirectoryId>,
    places: &[Place],
    unreadable: Option<&Path>,
    at_start: bool,
) -> Choice {
    let known = registered.and_then(|id| places.iter().position(|place| place.id == id));
    if let Some(at) = known {
        let place = &places[at];
        match (&place.offline, &place.copy) {
            (Some(reason), _) => return Choice::Offline(at, reason.clone()),
            (None, Copy::Usable) => return Choice::Use(at),
            (None, Copy::Unidentified(reason)) => return Choice::Offline(at, reason.clone()),
            (None, Copy::None) => {}
            (None, Copy::Future) => return interrupted(at, places, unreadable),
        }
    } else if let (Some(id), Some(dir)) = (registered, unreadable) {
        let reason = format!(
            "the replica is in the directory with id {id}, which is not there; it may be {}, \
             whose identity cannot be read",
            dir.display()
        );
        return Choice::Offline(0, reason);
    }
    let choice = elsewhere(known, places);
    let away = places.iter().position(|place| place.offline.is_some());
    if matches!(choice, Choice::Create(_)) && registered.is_none() && at_start {
        let unreadable = unreadable.map(|dir| (0, dir.display().to_string()));
        let away = away.map(|at| (at, places[at].path.clone())).or(unreadable);
        if let Some((at, path)) = away {
            let reason = format!("the replica may be in {path}, which is offline");
            return Choice::Offline(at, reason);
        }
    }
    choice
}

/// Chooses when the metadata already name the directory to which the replica was being moved, and
/// the copy there has not taken the place of the log. The log is used, and the move goes on. The
/// copy may lack records that only the log has.
fn interrupted(to: usize, places: &[Place], unreadable: Option<&Path>) -> Choice {
    let choice = elsewhere(None, places);
    if !matches!(choice, Choice::Create(_)) {
        return choice;
    }
    let away = places.iter().position(|place| place.offline.is_some());
    let away = away.map(|at| (at, places[at].path.clone()));
    match away.or(unreadable.map(|dir| (to, dir.display().to_string()))) {
        Some((at, path)) => Choice::Offline(
            at,
            format!(
                "the replica was being moved to {}, and its log may be in {path}, which is offline",
                places[to].path
            ),
        ),
        None => Choice::Promote(to),
    }
}

/// Chooses when the directory in the metadata, if any, has no copy.
fn elsewhere(known: Option<usize>, places: &[Place]) -> Choice {
    let online = || {
        let all = places.iter().enumerate();
        all.filter(|(_, place)| place.offline.is_none())
    };
    let copies: Vec<usize> = online()
        .filter(|(_, place)| place.copy == Copy::Usable)
        .map(|(at, _)| at)
        .collect();
    match copies.as_slice() {
        [at] => return Choice::Use(*at),
        [] => {}
        [at, ..] => {
            let paths: Vec<&str> = copies.iter().map(|at| places[*at].path.as_str()).collect();
            let reason = format!(
                "{} have a copy each, and the metadata name none of them: move all but the newest \
                 copy away, then start the broker again",
                paths.join(" and ")
            );
            return Choice::Offline(*at, reason);
        }
    }
    let unidentified = online().find_map(|(at, place)| match &place.copy {
        Copy::Unidentified(reason) => Some((at, reason.clone())),
        _ => None,
    });
    if let (None, Some((at, reason))) = (known, unidentified) {
        return Choice::Offline(at, reason);
    }
    // A replica may have been assigned to this broker just before all directories were cordoned.
    let usable = online().filter(|(_, place)| !place.is_cordoned);
    let emptiest = usable.min_by_key(|(_, place)| place.replicas);
    let emptiest = emptiest.or_else(|| online().next());
    match known.or(emptiest.map(|(at, _)| at)) {
        Some(at) => Choice::Create(at),
        None => Choice::Offline(0, "all log directories are offline".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D1: DirectoryId = DirectoryId::from_bytes([1; 16]);
    const D2: DirectoryId = DirectoryId::from_bytes([2; 16]);
    const D3: DirectoryId = DirectoryId::from_bytes([3; 16]);

    fn place(id: DirectoryId, copy: Copy, replicas: usize) -> Place {
        Place {
            id,
            path: format!("/d{}", id.0.0[0]),
            offline: None,
            copy,
            replicas,
            is_cordoned: false,
        }
    }

    fn offline(id: DirectoryId) -> Place {
        Place {
            offline: Some("broken".to_owned()),
            ..place(id, Copy::None, 0)
        }
    }

    #[test]
    fn a_cordoned_directory_gets_a_new_replica_only_when_all_are_cordoned() {
        let cordoned = |id, replicas| Place {
            is_cordoned: true,
            ..place(id, Copy::None, replicas)
        };
        let places = [
            cordoned(D1, 0),
            place(D2, Copy::None, 9),
            place(D3, Copy::None, 8),
        ];
        assert_eq!(choose(None, &places, None, false), Choice::Create(2));
        // The directory that the metadata name is used, and so is a log that is there.
        assert_eq!(choose(Some(D1), &places, None, false), Choice::Create(0));
        let all = [offline(D1), cordoned(D2, 3), cordoned(D3, 1)];
        assert_eq!(choose(None, &all, None, false), Choice::Create(1));
        let used = Place {
            copy: Copy::Usable,
            ..cordoned(D1, 1)
        };
        let places = [used, place(D2, Copy::None, 0)];
        assert_eq!(choose(None, &places, None, false), Choice::Use(0));
    }

    #[test]
    fn the_directory_in_the_metadata_decides_between_copies() {
        let both = [place(D1, Copy::Usable, 0), place(D2, Copy::Usable, 0)];
        assert_eq!(choose(Some(D2), &both, None, false), Choice::Use(1));
        assert_eq!(choose(Some(D1), &both, None, false), Choice::Use(0));
    }

    #[test]
    fn a_stale_copy_is_not_used_while_the_directory_in_the_metadata_is_offline() {
        let places = [place(D1, Copy::Usable, 0), offline(D2)];
        let broken = Choice::Offline(1, "broken".to_owned());
        assert_eq!(choose(Some(D2), &places, None, false), broken);
        // The directory in the metadata may be one whose identity cannot be read.
        let places = [place(D1, Copy::Usable, 0)];
        let unreadable = Some(Path::new("/d2"));
        let choice = choose(Some(D2), &places, unreadable, false);
        assert!(matches!(choice, Choice::Offline(0, reason) if reason.contains("/d2")));
    }

    #[test]
    fn a_single_copy_is_used_where_it_is() {
        let places = [place(D1, Copy::None, 0), place(D2, Copy::Usable, 9)];
        for registered in [None, Some(D1), Some(D3)] {
            assert_eq!(choose(registered, &places, None, false), Choice::Use(1));
        }
    }

    #[test]
    fn nothing_is_guessed_between_copies_that_the_metadata_do_not_name() {
        let both = [place(D1, Copy::Usable, 0), place(D2, Copy::Usable, 0)];
        for registered in [None, Some(D3)] {
            let choice = choose(registered, &both, None, false);
            assert!(
                matches!(&choice, Choice::Offline(_, reason) if reason.contains("/d1 and /d2")),
                "{choice:?}"
            );
        }
    }

    #[test]
    fn a_new_log_goes_where_the_metadata_say_or_to_the_emptiest_directory() {
        let places = [
            place(D1, Copy::None, 2),
            place(D2, Copy::None, 1),
            offline(D3),
        ];
        assert_eq!(choose(Some(D1), &places, None, false), Choice::Create(0));
        assert_eq!(choose(None, &places, None, false), Choice::Create(1));
        // At the start an offline directory may hold it.
        let choice = choose(None, &places, None, true);
        assert!(matches!(choice, Choice::Offline(2, _)), "{choice:?}");
        assert_eq!(choose(Some(D1), &places, None, true), Choice::Create(0));
        let all = [offline(D1), offline(D2)];
        assert!(matches!(
            choose(None, &all, None, false),
            Choice::Offline(..)
        ));
    }

    #[test]
    fn the_log_of_a_replica_that_was_being_moved_is_used_until_the_swap() {
        let places = [place(D1, Copy::Usable, 0), place(D2, Copy::Future, 0)];
        for registered in [Some(D1), Some(D2)] {
            assert_eq!(choose(registered, &places, None, true), Choice::Use(0));
        }
        let places = [offline(D1), place(D2, Copy::Future, 0)];
        let choice = choose(Some(D2), &places, None, true);
        assert!(matches!(choice, Choice::Offline(0, _)), "{choice:?}");
        let alone = [place(D2, Copy::Future, 0)];
        let unreadable = Some(Path::new("/d1"));
        let choice = choose(Some(D2), &alone, unreadable, true);
        assert!(matches!(choice, Choice::Offline(0, _)), "{choice:?}");
        // Without any other log, the copy that the metadata name is all there is.
        assert_eq!(choose(Some(D2), &alone, None, true), Choice::Promote(0));
        assert_eq!(choose(None, &alone, None, false), Choice::Create(0));
    }

    #[test]
    fn a_log_without_a_readable_topic_id_is_neither_used_nor_replaced() {
        let copy = Copy::Unidentified("garbage".to_owned());
        let places = [place(D1, copy, 0), place(D2, Copy::None, 0)];
        let garbage = Choice::Offline(0, "garbage".to_owned());
        assert_eq!(choose(Some(D1), &places, None, false), garbage);
        assert_eq!(choose(None, &places, None, false), garbage);
        assert_eq!(choose(Some(D2), &places, None, false), Choice::Create(1));
    }
}
