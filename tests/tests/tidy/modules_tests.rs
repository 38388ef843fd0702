//! Tests that find cycles between modules of small crates.

use super::*;

/// Checks the cycles of a crate with these files, each as `parent: members`.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let cycles = Modules::of(files.iter().copied()).cycles();
    let text = |cycle: &Cycle| {
        let members: Vec<_> = cycle.members.iter().map(String::as_str).collect();
        format!("{}: {}", cycle.parent.join("::"), members.join(" "))
    };
    assert_eq!(cycles.iter().map(text).collect::<Vec<_>>(), expected);
}

#[test]
fn modules_that_use_each_other_are_a_cycle() {
    let a = ("a.rs", "use crate::b::B; pub struct A;");
    for uses in [
        "use super::a::A;",
        "use super::{c::C, a::A};",
        "use crate::a;",
        "use crate::a::*;",
        "pub(crate) use crate::{a::{self, A as D}};",
        "fn f() { crate::a::g() }",
    ] {
        let b = format!("{uses} pub struct B;");
        check(&[a, ("b.rs", &b)], &[": a b"]);
    }
    check(&[a, ("b.rs", "use crate::c::C;"), ("c.rs", "")], &[]);
}

#[test]
fn a_cycle_may_lead_through_others() {
    let (a, b) = (("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"));
    let d = ("d.rs", "use crate::c::C;");
    check(&[a, b, ("c.rs", "use crate::a::A;")], &[": a b c"]);
    check(&[a, b, ("c.rs", "use crate::d::D;"), d], &[": c d"]);
}

#[test]
fn a_folder_is_one_module_for_its_siblings() {
    let files = [
        ("a/mod.rs", "mod x; mod y;"),
        ("a/x.rs", "use crate::b::B;"),
        ("a/y.rs", "pub struct Y;"),
        ("b.rs", "use crate::a::y::Y;"),
    ];
    check(&files, &[": a b"]);
    let inside = [
        ("a/mod.rs", ""),
        ("a/x.rs", "use super::y::Y;"),
        ("a/y.rs", "fn f() { super::x::g() }"),
    ];
    check(&inside, &["a: x y"]);
}

#[test]
fn what_a_parent_passes_on_belongs_to_its_child() {
    let b = ("b.rs", "use crate::A;");
    let a = ("a.rs", "use crate::b::B; pub struct A;");
    check(&[("lib.rs", "pub use a::A;"), a, b], &[": a b"]);
    check(&[("lib.rs", "pub use a::*;"), a, b], &[": a b"]);
    check(&[("lib.rs", "pub struct A; mod a;"), a, b], &[]);
}

#[test]
fn a_parent_and_its_child_may_use_each_other() {
    let files = [
        ("a/mod.rs", "mod b; use b::B; pub struct A;"),
        ("a/b.rs", "use super::A; pub struct B;"),
    ];
    check(&files, &[]);
}

#[test]
fn tests_comments_and_texts_use_nothing() {
    let a = ("a.rs", "use crate::b::B;");
    for unused in [
        "// crate::a::f()",
        "/* use crate::a::X; */",
        "const T: &str = \"crate::a::X\";",
        "const T: &str = r#\"crate::a::X\"#;",
        "#[cfg(test)] use crate::a::{X, Y};",
        "#[cfg(test)] mod tests { use crate::a::X; fn f() {} }",
        "mod inner { use super::a::X; }",
    ] {
        check(&[a, ("b.rs", unused)], &[]);
        let used = format!("{unused}\nfn f<'a>() {{ crate::a::f('\"') }}");
        check(&[a, ("b.rs", &used)], &[": a b"]);
    }
}
