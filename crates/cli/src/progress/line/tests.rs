//! The text of the line, over time.

use super::*;

/// Half a second after the work began, and this many milliseconds more.
fn later(began: Instant, millis: u64) -> Instant {
    began + PATIENCE + Duration::from_millis(millis)
}

fn line(tally: Tally) -> (Line, Instant) {
    let mut line = Line::default();
    let began = Instant::now();
    line.begin(began, tally);
    (line, began)
}

fn shown(line: &mut Line, now: Instant) -> String {
    line.at(now).unwrap_or_default()
}

#[test]
fn quick_work_shows_nothing() {
    let (mut line, began) = line(Tally::items("groups deleted", Some(3)));
    line.add(0, 2);
    assert_eq!(line.at(began), None);
    assert_eq!(line.at(began + PATIENCE - Duration::from_millis(1)), None);
    assert!(!line.end(0), "nothing to take away");
}

#[test]
fn long_work_is_shown_now_and_then_and_only_what_is_new() {
    let (mut line, began) = line(Tally::items("groups reset", Some(30)));
    line.add(0, 1);
    assert_eq!(shown(&mut line, later(began, 0)), "1 of 30 groups reset");
    line.add(0, 1);
    assert_eq!(line.at(later(began, 199)), None, "too soon");
    assert_eq!(shown(&mut line, later(began, 200)), "2 of 30 groups reset");
    assert_eq!(line.at(later(began, 400)), None, "it stands there");
    line.set(0, 29);
    assert_eq!(shown(&mut line, later(began, 401)), "29 of 30 groups reset");
    assert!(line.end(0), "it is taken away");
    assert_eq!(line.at(later(began, 1000)), None, "nothing is under way");
}

#[test]
fn the_patience_is_that_of_all_counts_together() {
    let (mut line, began) = line(Tally::items("groups described", Some(3)));
    line.end(0);
    line.begin(later(began, 0), Tally::items("groups deleted", Some(3)));
    assert_eq!(shown(&mut line, later(began, 0)), "0 of 3 groups deleted");
}

#[test]
fn counts_within_counts_stand_on_the_same_line() {
    let (mut line, began) = line(Tally::items("groups reset", Some(10)));
    line.add(0, 3);
    let inner = line.begin(began, Tally::items("offsets found", Some(400)));
    line.set(inner, 200);
    let both = "3 of 10 groups reset, 200 of 400 offsets found";
    assert_eq!(shown(&mut line, later(began, 0)), both);
    assert!(!line.end(inner), "the other goes on");
    assert_eq!(shown(&mut line, later(began, 200)), "3 of 10 groups reset");
    let inner = line.begin(later(began, 200), Tally::items("offsets found", Some(400)));
    assert_eq!(line.at(later(began, 699)), None, "it may be short");
    let both = "3 of 10 groups reset, 0 of 400 offsets found";
    assert_eq!(shown(&mut line, later(began, 700)), both);
    line.end(inner);
    assert!(line.end(0));
}

#[test]
fn what_cannot_be_counted_is_not_shown() {
    let (mut line, began) = line(Tally::items("topics described", Some(1)));
    let pages = line.begin(began, Tally::items("partitions described", None));
    assert_eq!(line.at(later(began, 0)), None, "one topic, no page yet");
    line.add(pages, 2000);
    let text = "2000 partitions described";
    assert_eq!(shown(&mut line, later(began, 0)), text);
}

#[test]
fn bytes_are_told_in_percent() {
    let (mut line, began) = line(Tally::bytes(2_500_000_000));
    line.set(0, 1_249_999_999);
    assert_eq!(shown(&mut line, later(began, 0)), "49% of 2.5 GB read");
    line.set(0, 3_000_000_000);
    assert_eq!(shown(&mut line, later(began, 200)), "100% of 2.5 GB read");
}

#[test]
fn sizes_are_short() {
    let sizes = [0, 999, 1000, 999_949, 999_950, 1 << 30, 5_000_000_000_000];
    let texts = sizes.map(size).join(", ");
    assert_eq!(
        texts,
        "0 B, 999 B, 1.0 kB, 999.9 kB, 1.0 MB, 1.1 GB, 5.0 TB"
    );
}

#[test]
fn it_gives_way_to_what_is_printed_and_comes_back_below() {
    let (mut line, began) = line(Tally::items("moves begun", Some(9)));
    assert!(!line.give_way("early\n"), "nothing stands there");
    let text = "0 of 9 moves begun";
    assert_eq!(shown(&mut line, later(began, 0)), text);
    assert!(line.give_way("half a line"));
    assert_eq!(line.at(later(began, 200)), None, "it would be wiped out");
    line.give_way("");
    assert_eq!(line.at(later(began, 200)), None);
    line.give_way(", and its end\n");
    assert_eq!(shown(&mut line, later(began, 200)), text);
}
