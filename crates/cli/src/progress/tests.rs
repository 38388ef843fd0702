//! Counts within counts, and the width of the terminal.

use super::*;

#[test]
fn a_text_is_cut_where_the_terminal_ends() {
    assert_eq!(fitting("3 of 9 brokers", None), "3 of 9 brokers");
    assert_eq!(fitting("3 of 9 brokers", Some(14)), "3 of 9 brokers");
    assert_eq!(fitting("3 of 9 brokers", Some(13)), "3 of 9 broker");
    assert_eq!(fitting("", Some(80)), "");
}

#[test]
fn an_item_is_done_when_the_next_one_is_asked_for() {
    let progress = on_a_terminal(false);
    let text = || {
        let terminal = progress.0.as_ref();
        let late = Instant::now() + Duration::from_secs(60);
        terminal.map_or(String::new(), |terminal| terminal.line.borrow().text(late))
    };
    let mut brokers = progress.over("brokers asked", [1, 2]);
    assert_eq!(brokers.next(), Some(1));
    assert_eq!(text(), "0 of 2 brokers asked");
    assert_eq!(brokers.next(), Some(2));
    assert_eq!(text(), "1 of 2 brokers asked");
    let groups = progress.count("groups found", None);
    groups.add(7);
    assert_eq!(text(), "1 of 2 brokers asked, 7 groups found");
    drop(groups);
    assert_eq!(brokers.next(), None);
    assert_eq!(text(), "2 of 2 brokers asked");
    drop(brokers);
    assert_eq!(text(), "");
}

#[test]
fn what_is_printed_to_the_terminal_needs_no_line() {
    assert!(on_a_terminal(true).while_printing().0.is_none());
    assert!(on_a_terminal(false).while_printing().0.is_some());
}

fn on_a_terminal(has_stdout: bool) -> Progress {
    Progress(Some(Rc::new(Terminal {
        line: RefCell::default(),
        has_stdout,
    })))
}
