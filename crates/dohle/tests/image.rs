//! Tests of `deploy/image.sh` and of the scripts in `deploy/image`, without Docker: what goes into
//! the image, what is reported when something is missing, and what the init containers of Bitnami's
//! chart do with our functions.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
        &[("FLAVORS", "distroless")],
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
    // Nothing is built when the shell of the image cannot be had.
    check(
        &toolchain(),
        &["build", "dohle:latest"],
        &[],
        expect![[r#"
            image: the shell of the image is missing. Either install it ('apt-get install bash-static busybox-static' on Debian
              and Ubuntu), or name two static programs with BASH_STATIC and BUSYBOX, or make only the image without a shell:
              make image FLAVORS=distroless
            exit code 1
        "#]],
    );
}

/// Stand-ins for the static programs, and for an `ldd` that reports each program as static.
fn shell() -> (Programs, Vec<(String, String)>) {
    let programs = Programs::new()
        .program("ldd", "exit 1")
        .program("docker", "exit 0")
        .program("static-bash", "echo 'GNU bash, version 5'")
        .program(
            "static-busybox",
            "[ \"${1:-}\" = --list ] && printf '[\\ncat\\nnc\\nsu\\nwget\\n' || echo BusyBox",
        );
    let path = |name: &str| programs.0.path().join(name).display().to_string();
    let variables = vec![
        ("BASH_STATIC".to_owned(), path("static-bash")),
        ("BUSYBOX".to_owned(), path("static-busybox")),
    ];
    (programs, variables)
}

/// Returns the names and targets of an archive's entries.
fn entries(archive: &Path) -> Vec<String> {
    let listed = Command::new("tar")
        .args(["--list", "--verbose", "--file"])
        .arg(archive)
        .output();
    let text = String::from_utf8(listed.unwrap().stdout).unwrap();
    let entries = text.lines().map(|line| {
        // Mode, owner, size, day, time.
        let mut rest = line;
        for _ in 0..5 {
            rest = rest
                .trim_start()
                .split_once(' ')
                .map_or("", |(_, rest)| rest);
        }
        rest.trim_start().trim_start_matches("./").to_owned()
    });
    entries.collect()
}

#[test]
fn the_image_has_the_tools_at_the_paths_of_three_images_and_a_shell() {
    let (programs, variables) = shell();
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("root.tar");
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let rootfs = |flavor: &str| {
        let arguments = [
            "rootfs",
            env!("CARGO_BIN_EXE_dohle"),
            archive.to_str().unwrap(),
        ];
        let said = programs.image(
            &arguments,
            &[&variables[..], &[("FLAVORS", flavor)]].concat(),
        );
        assert!(said.ends_with("exit code 0\n"), "{said}");
        entries(&archive)
    };
    let with_shell = rootfs("shell");
    for entry in [
        "bin/bash",
        "bin/sh -> bash",
        "bin/cat -> busybox",
        "bin/wget -> busybox",
        "usr/bin/env -> ../../bin/busybox",
        "usr/bin/nc",
        "usr/bin/pgrep",
        "usr/bin/cub",
        "usr/bin/ub -> cub",
        "usr/share/doc/SHELL",
        "opt/bitnami/scripts/libkafka.sh",
        "opt/bitnami/scripts/libos.sh -> libkafka.sh",
        "opt/bitnami/kafka/bin -> /opt/kafka/bin",
        "opt/kafka/bin/kafka-topics.sh -> /usr/local/bin/dohle",
        "usr/bin/kafka-topics -> /usr/local/bin/dohle",
        "etc/kafka/docker/run -> /usr/local/bin/dohle",
    ] {
        assert!(
            with_shell.iter().any(|one| one == entry),
            "no {entry} in {with_shell:#?}"
        );
    }
    // BusyBox's nc cannot check a port, and nobody becomes another user.
    for name in ["bin/nc", "bin/su"] {
        assert!(
            !with_shell.iter().any(|one| one.starts_with(name)),
            "{name}"
        );
    }
    let without = rootfs("distroless");
    assert!(without.contains(&"opt/kafka/bin/kafka-topics.sh -> /usr/local/bin/dohle".to_owned()));
    for name in [
        "bin/bash",
        "bin/sh",
        "bin/busybox",
        "opt/bitnami/scripts/libkafka.sh",
    ] {
        assert!(!without.iter().any(|one| one.starts_with(name)), "{name}");
    }
}

#[test]
fn both_images_are_made_and_named() {
    let (programs, mut variables) = shell();
    // A small program in the place of the large one.
    let programs = programs.program("dohle", ": >\"$2/kafka-topics.sh\"");
    let dohle = programs.0.path().join("dohle").display().to_string();
    variables.push(("DOHLE_BINARY".to_owned(), dohle));
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    for (tag, named) in [
        (
            "dohle:0.1",
            "image: made dohle:0.1\nimage: made dohle:0.1-distroless\n",
        ),
        (
            "host:5000/dohle",
            "image: made host:5000/dohle\nimage: made host:5000/dohle:latest-distroless\n",
        ),
    ] {
        let said = programs.image(&["build", tag], &variables);
        assert!(said.contains(named), "{said}");
    }
}

/// Runs a script with our functions in a folder; the script is what a user writes.
fn run(folder: &Path, script: &str) -> Output {
    let functions = root().join("deploy/image/libkafka.sh");
    Command::new("bash")
        .args(["-ec", &format!(". {}\n{script}", functions.display())])
        .current_dir(folder)
        .env("KAFKA_CONF_FILE", folder.join("server.properties"))
        .output()
        .unwrap()
}

#[track_caller]
fn changed(before: &str, script: &str, expected: Expect) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("server.properties");
    std::fs::write(&file, before).unwrap();
    let output = run(folder.path(), script);
    assert!(output.status.success(), "{output:?}");
    expected.assert_eq(&std::fs::read_to_string(&file).unwrap());
}

#[test]
fn text_is_replaced_in_files_whatever_a_password_holds() {
    changed(
        "a=\"password-placeholder-1\"\nb=\"password-placeholder-10\"\nc=password-placeholder-1\n",
        r#"replace_in_file server.properties 'password-placeholder-1"' 'p&q/|$r"'"#,
        expect![[r#"
            a="p&q/|$r"
            b="password-placeholder-10"
            c=password-placeholder-1
        "#]],
    );
    changed(
        "advertised.listeners=CLIENT://h:1\nx=1\n",
        r#"replace_in_file server.properties '^(advertised\.listeners=\S+)$' '\1,EXTERNAL://e:2'
           remove_in_file server.properties '^x='"#,
        expect![[r#"
            advertised.listeners=CLIENT://h:1,EXTERNAL://e:2
        "#]],
    );
}

#[test]
fn properties_are_set_in_their_place_or_at_the_end() {
    changed(
        "# node.id=7\nnode.id = 1\nlog.dirs=/a, \\\n  /b\nnode.id=2\nssl.key=x\n",
        r#"kafka_server_conf_set node.id 3
           kafka_server_conf_set log.dirs /c
           kafka_server_conf_set ssl.key $'one \\\ntwo'
           kafka_server_conf_set sasl.jaas.config 'm required password="a\"b&c";'"#,
        expect![[r#"
            # node.id=7
            node.id=3
            log.dirs=/c
            ssl.key=one \
            two
            sasl.jaas.config=m required password="a\"b&c";
        "#]],
    );
    let folder = TempDir::new().unwrap();
    let output = run(folder.path(), "kafka_server_conf_set node.id");
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("one value is needed, 0 are given"),
        "{stderr}"
    );
}

#[test]
fn commands_are_repeated_until_they_succeed_or_too_often() {
    let folder = TempDir::new().unwrap();
    let tries = "touch log; attempt() { echo x >>log; [ $(wc -l <log) -ge 3 ]; }";
    let output = run(
        folder.path(),
        &format!("{tries}; retry_while 'attempt' 5 0; wc -l <log"),
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "3");
    let output = run(
        folder.path(),
        "retry_while 'test -f none' 2 0 || { error gave up; exit 3; }",
    );
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "ERROR gave up\n");
    let truth = "for v in yes TRUE 1 no '' 0; do is_boolean_yes \"$v\" && echo \"$v\"; done; true";
    let output = run(folder.path(), truth);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "yes\nTRUE\n1\n");
}

#[test]
fn ports_are_checked_as_health_checks_write_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port().to_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port().to_string();
    drop(closed);
    let nc = |arguments: &[&str]| {
        let output = Command::new("bash")
            .arg(root().join("deploy/image/nc"))
            .args(arguments)
            .output();
        output.unwrap().status.code()
    };
    assert_eq!(nc(&["-z", "localhost", &open]), Some(0));
    assert_eq!(nc(&["-vz", "-w", "2", "127.0.0.1", &open]), Some(0));
    assert_eq!(nc(&["-zw1", "127.0.0.1", &port]), Some(1));
    assert_eq!(nc(&["-z", "no-such-host.invalid", "1"]), Some(1));
    assert_eq!(nc(&["-z", "localhost"]), Some(2));
}

#[test]
fn processes_are_found_by_their_command_line() {
    let mut process = Command::new("bash")
        .args(["-c", "read -r line", "a-kafka-of-its-own"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pgrep = |arguments: &[&str]| {
        let output = Command::new("bash")
            .arg(root().join("deploy/image/pgrep"))
            .args(arguments)
            .output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let found = pgrep(&["-f", "a-kafka-of-its-own"]);
    assert_eq!(found, (Some(0), format!("{}\n", process.id())));
    assert_eq!(pgrep(&["-f", "no-process-has-this-[0-9]+"]).0, Some(1));
    drop(process.stdin.take());
    process.wait().unwrap();
    assert_eq!(pgrep(&["a-kafka-of-its-own"]).0, Some(1));
}

#[test]
fn an_init_container_of_confluents_image_waits_for_the_brokers() {
    let broker = |id| format!("kafka:9092 (id: {id} rack: null isFenced: false) -> (\\n");
    let answer = broker(1) + &broker(2);
    let programs = Programs::new()
        .program("timeout", "shift; exec \"$@\"")
        .program(
            "kafka-broker-api-versions",
            &format!(
                "[ $(grep -c ^kafka \"${{0%/*}}/calls\") -gt 1 ] || exit 1; printf '{answer}'"
            ),
        )
        // No time passes.
        .program("sleep", ":");
    let cub = |arguments: &[&str]| {
        std::fs::write(programs.calls(), "").unwrap();
        let output = Command::new("bash")
            .arg(root().join("deploy/image/cub"))
            .args(arguments)
            .env("PATH", programs.0.path())
            .output()
            .unwrap();
        let calls = std::fs::read_to_string(programs.calls()).unwrap();
        let mut asked = calls.lines().filter(|line| line.starts_with("kafka"));
        let last = asked.next_back().unwrap_or_default().to_owned();
        (output.status.code(), last)
    };
    let asked = "kafka-broker-api-versions --bootstrap-server kafka:9092";
    let ready = cub(&["kafka-ready", "-b", "kafka:9092", "2", "30"]);
    assert_eq!(ready, (Some(0), asked.to_owned()));
    let ready = cub(&[
        "kafka-ready",
        "--bootstrap-servers",
        "kafka:9092",
        "2",
        "30",
    ]);
    assert_eq!(ready, (Some(0), asked.to_owned()));
    let file = programs.0.path().join("client.properties");
    std::fs::write(&file, "bootstrap.servers=kafka:9092\n").unwrap();
    let file = file.to_str().unwrap();
    let ready = cub(&["kafka-ready", "1", "30", "-c", file]);
    assert_eq!(ready, (Some(0), format!("{asked} --command-config {file}")));
    assert_eq!(
        cub(&["kafka-ready", "-b", "kafka:9092", "3", "1"]).0,
        Some(1)
    );
    for wrong in [
        &["kafka-ready", "-b", "kafka:9092", "1"] as &[&str],
        &["zk-ready", "zk:2181", "30"],
    ] {
        assert_eq!(cub(wrong), (Some(2), String::new()), "{wrong:?}");
    }
}
