//! Tests of `deploy/image.sh`, without Docker: what is reported when something is missing.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::{Expect, expect};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// A folder of programs that stand in for those of the system.
struct Programs(TempDir);

impl Programs {
    fn new() -> Self {
        let this = Self(TempDir::new().unwrap());
        // What every machine has.
        let link = "for name; do ln -s \"$(type -P \"$name\")\" \"$0/$name\"; done";
        let needed = [
            "bash", "basename", "cat", "chmod", "cp", "dirname", "grep", "head", "id", "ln", "ls",
            "mkdir", "mktemp", "mv", "rm", "sed", "sort", "tar", "test", "tr", "uname", "xargs",
        ];
        let linked = Command::new("bash")
            .args(["-c", link])
            .arg(this.0.path())
            .args(needed)
            .status();
        assert!(linked.unwrap().success());
        this
    }

    /// Adds a program: a script that notes its arguments in the file `calls` before it runs `body`.
    fn program(self, name: &str, body: &str) -> Self {
        let path = self.0.path().join(name);
        let calls = self.calls().display().to_string();
        let script = format!("#!/bin/bash\necho \"{name} $*\" >>{calls}\n{body}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn calls(&self) -> PathBuf {
        self.0.path().join("calls")
    }

    /// Runs `deploy/image.sh` with these programs only. Returns the calls, its standard error and
    /// its exit code.
    fn image(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = Command::new("bash")
            .arg(root().join("deploy/image.sh"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.0.path())
            .env("IMAGE_TARGET", target())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let calls = std::fs::read_to_string(self.calls()).unwrap_or_default();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let text = format!(
            "{calls}{stderr}exit code {}\n",
            output.status.code().unwrap()
        );
        let text = text.replace(&target(), "TARGET");
        text.replace(&self.0.path().display().to_string(), "PROGRAMS")
    }
}

/// A Rust toolchain whose target appears once rustup was asked to add it.
fn toolchain() -> Programs {
    let rustc = "[ \"$1\" = -vV ] && echo 'host: x86_64-unknown-linux-gnu'; echo \"${0%/*}/lib\"";
    Programs::new()
        .program("rustc", rustc)
        .program("cargo", "exit 0")
        .program("docker", "exit 0")
}

const RUSTUP: &str = r#"mkdir -p "$(dirname "$0")/lib""#;

#[track_caller]
fn check(programs: &Programs, arguments: &[&str], variables: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&programs.image(arguments, variables));
}

#[test]
fn the_target_of_static_binaries_is_added_where_rustup_is() {
    let programs = toolchain()
        .program("rustup", RUSTUP)
        .program("musl-gcc", "");
    check(
        &programs,
        &["toolchain"],
        &[],
        expect![[r#"
            rustc --print target-libdir --target TARGET
            rustup target add TARGET
            rustc --print target-libdir --target TARGET
            rustc -vV
            image: adding the Rust target TARGET
            exit code 0
        "#]],
    );
}

#[test]
fn what_a_build_lacks_is_named_at_once() {
    check(
        &toolchain(),
        &["toolchain"],
        &[],
        expect![[r#"
            rustc --print target-libdir --target TARGET
            rustc --print target-libdir --target TARGET
            rustc -vV
            image: the static binary cannot be built. Missing:
              - the Rust target TARGET: 'rustup target add TARGET' where rustc is rustup's; a package of the
                distribution otherwise (Fedora: rust-std-static-TARGET); this rustc is PROGRAMS/rustc
              - musl-gcc: 'apt-get install musl-tools' on Debian and Ubuntu, 'dnf install musl-gcc' on Fedora
            exit code 1
        "#]],
    );
    check(
        &Programs::new().program("docker", ""),
        &["build", "dohle:latest"],
        &[],
        expect![[r#"
            image: the static binary cannot be built. Missing:
              - Rust: https://rustup.rs
              - musl-gcc: 'apt-get install musl-tools' on Debian and Ubuntu, 'dnf install musl-gcc' on Fedora
            exit code 1
        "#]],
    );
    let without_docker = Programs::new().image(&["build", "dohle:latest"], &[]);
    assert!(
        without_docker.contains("docker is missing"),
        "{without_docker}"
    );
}
