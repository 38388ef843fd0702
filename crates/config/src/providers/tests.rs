//! Tests of the references to configuration providers in values.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::*;
use crate::tests::folded;

/// Variables, and files by path; a path that other paths begin with is a directory.
#[derive(Default)]
struct World {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl ExternalValues for World {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.is_file(path) || self.is_directory(path)
    }

    fn is_directory(&self, path: &str) -> bool {
        let below = format!("{}/", path.trim_end_matches('/'));
        self.files.keys().any(|file| file.starts_with(&below))
    }

    fn is_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let file = self.files.get(path).ok_or("No such file or directory")?;
        Ok(file.as_bytes().to_vec())
    }
}

fn world() -> World {
    World {
        variables: BTreeMap::from([
            ("KDATA", "/data"),
            ("SECRET", "s3cret"),
            ("NESTED", "${env:KDATA}"),
        ]),
        files: BTreeMap::from([
            (
                "/run/secrets/kafka",
                "password=p=1\nuser: Zo\u{eb}\npassword=p=2\n",
            ),
            ("/run/keys/store", "line one\nline two\n"),
            ("/run/keys/sub/inner", "x"),
            ("/etc/shadow", "root=hash"),
        ]),
    }
}

const ENV: &[(&str, &str)] = &[
    ("config.providers", "env"),
    (
        "config.providers.env.class",
        "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    ),
];
const FILES: &[(&str, &str)] = &[
    ("config.providers", "file, dir"),
    (
        "config.providers.file.class",
        "org.apache.kafka.common.config.provider.FileConfigProvider",
    ),
    (
        "config.providers.dir.class",
        "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
    ),
];

fn resolved(providers: &[(&str, &str)], values: &[(&str, &str)]) -> Result<Properties, String> {
    let pairs = providers.iter().chain(values);
    let mut properties: Properties = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    resolve(&mut properties, &world()).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    Ok(properties)
}

#[track_caller]
fn check(providers: &[(&str, &str)], value: &str, expected: &str) {
    let properties = resolved(providers, &[("log.dirs", value)]).unwrap();
    assert_eq!(properties["log.dirs"], expected, "{value}");
}

#[track_caller]
fn check_refused(providers: &[(&str, &str)], value: &str, expected: Expect) {
    let error = resolved(providers, &[("log.dirs", value)]).unwrap_err();
    expected.assert_eq(&folded(&error));
}

#[test]
fn references_are_replaced_by_what_their_provider_returns() {
    check(ENV, "${env:KDATA}/x", "/data/x");
    check(ENV, "${env:KDATA}${env:SECRET}", "/datas3cret");
    check(
        ENV,
        "no ${reference} $ {env:KDATA} ${",
        "no ${reference} $ {env:KDATA} ${",
    );
    check(ENV, "${env:NESTED}", "${env:KDATA}");
    check(FILES, "${file:/run/secrets/kafka:password}", "p=2");
    check(FILES, "${file:/run/secrets/kafka:user}", "Zo\u{eb}");
    check(FILES, "${dir:/run/keys:store}", "line one\nline two\n");
}

#[test]
fn an_unresolved_reference_is_refused_with_its_property_provider_and_key() {
    check_refused(
        &[],
        "${env:KDATA}/x",
        expect![[r#"
            log.dirs refers to the key "KDATA" of the provider "env":
            config.providers does not list "env"; add it, and set
            config.providers.env.class to the provider's class"#]],
    );
    check_refused(
        &[("config.providers", "env")],
        "${env:KDATA}",
        expect![[r#"
            log.dirs refers to the key "KDATA" of the provider "env":
            config.providers.env.class is not set; set it to the
            provider's class, for example
            org.apache.kafka.common.config.provider.EnvVarConfigProvider"#]],
    );
    check_refused(
        ENV,
        "${env:UNSET}",
        expect![[r#"
            log.dirs refers to the key "UNSET" of the provider "env":
            there is no such environment variable"#]],
    );
    check_refused(
        ENV,
        "${env:a:KDATA}",
        expect![[r#"
            log.dirs refers to the key "KDATA" in a of the provider
            "env": variables have no path; write ${env:VARIABLE}"#]],
    );
    check_refused(
        FILES,
        "${file:/run/secrets/none:password}",
        expect![[r#"
            log.dirs refers to the key "password" in /run/secrets/none
            of the provider "file": No such file or directory"#]],
    );
    check_refused(
        FILES,
        "${file:/run/secrets/kafka:none}",
        expect![[r#"
            log.dirs refers to the key "none" in /run/secrets/kafka of
            the provider "file": the file has no such key"#]],
    );
    check_refused(
        FILES,
        "${file:password}",
        expect![[r#"
            log.dirs refers to the key "password" of the provider
            "file": the reference has no path; write ${file:PATH:KEY}"#]],
    );
    for key in ["sub", "sub/inner", "..", "none"] {
        let error = resolved(FILES, &[("log.dirs", &format!("${{dir:/run/keys:{key}}}"))]);
        assert!(
            error
                .unwrap_err()
                .ends_with("the directory has no such file"),
            "{key}"
        );
    }
}

#[test]
fn all_references_that_cannot_be_resolved_are_reported() {
    let values = [("log.dirs", "${env:A}"), ("node.id", "${env:B}${env:C}")];
    assert_eq!(resolved(ENV, &values).unwrap_err().lines().count(), 3);
}

#[test]
fn a_provider_reads_only_variables_and_paths_that_are_allowed() {
    let pattern = ("config.providers.env.param.allowlist.pattern", "KD.*");
    let limited = [ENV, &[pattern]].concat();
    check(&limited, "${env:KDATA}", "/data");
    for variable in ["SECRET", "XKDATA"] {
        check_refused_by_limit(&limited, &format!("${{env:{variable}}}"));
    }
    let paths = (
        "config.providers.file.param.allowed.paths",
        "/run/secrets,/run/keys/",
    );
    let limited = [FILES, &[paths]].concat();
    check(&limited, "${file:/run/secrets/kafka:password}", "p=2");
    check(
        &limited,
        "${file:/run/keys/../secrets/./kafka:password}",
        "p=2",
    );
    for path in [
        "/etc/shadow",
        "/run/secrets/../../etc/shadow",
        "/run/secretsx/kafka",
        "run/secrets/kafka",
    ] {
        check_refused_by_limit(&limited, &format!("${{file:{path}:root}}"));
    }
}

#[track_caller]
fn check_refused_by_limit(providers: &[(&str, &str)], value: &str) {
    let error = resolved(providers, &[("log.dirs", value)]).unwrap_err();
    assert!(error.contains("not allow"), "{value}: {error}");
}

#[test]
fn a_provider_that_cannot_be_used_is_reported_once() {
    let vault = [
        ("config.providers", "vault"),
        ("config.providers.vault.class", "com.example.Vault"),
    ];
    check_refused(
        &vault,
        "${vault:a}${vault:b}",
        expect![[r#"
            config.providers.vault.class is "com.example.Vault", a
            provider that Dohle does not have; allowed is
            org.apache.kafka.common.config.provider.EnvVarConfigProvider,
            org.apache.kafka.common.config.provider.FileConfigProvider
            or
            org.apache.kafka.common.config.provider.DirectoryConfigProvider"#]],
    );
    for (name, value) in [
        ("config.providers.file.param.allowed.paths", "secrets"),
        ("config.providers.file.param.allowed.paths", "/none"),
    ] {
        let limited = [FILES, &[(name, value)]].concat();
        let error = resolved(&limited, &[]).unwrap_err();
        assert!(error.starts_with(name), "{error}");
    }
    let pattern = ("config.providers.env.param.allowlist.pattern", "(");
    let error = resolved(&[ENV, &[pattern]].concat(), &[]).unwrap_err();
    assert!(error.starts_with(pattern.0), "{error}");
}
