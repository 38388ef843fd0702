//! Delegation tokens: Kafka's tool and Dohle's manage the same tokens, clients log in with them,
//! and not with expired ones.

use anyhow::{Context as _, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tests::node::binary;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::{DEADLINE, until};
use serde_json::Value;

use super::sasl::{add_user, cluster};

const MECHANISM: &str = "SCRAM-SHA-512";
/// The families that can log in with a token.
const FAMILIES: [Family; 2] = [Family::Java, Family::FranzGo];

/// Runs a tool for tokens on the listener for clients.
struct Tools<'a> {
    cluster: &'a Cluster,
    address: &'a str,
}

impl Tools<'_> {
    fn with(&self, program: Program, user: &Credentials, args: &[&str]) -> Result<Output> {
        let file = self.cluster.scratch().join("client.properties");
        std::fs::write(&file, user.command_config())?;
        let program = program.args(["--bootstrap-server", self.address, "--command-config"]);
        program.arg(&file).args(args).run()
    }

    fn kafkas(&self, user: &Credentials, args: &[&str]) -> Result<Output> {
        self.with(java::tool("DelegationTokenCommand"), user, args)
    }

    fn ours(&self, user: &Credentials, args: &[&str]) -> Result<Output> {
        let program = Program::new(binary()?).arg("delegation-tokens");
        self.with(program, user, args)
    }

    /// Lists the topics with Dohle's tool.
    fn topics(&self, user: &Credentials) -> Result<Output> {
        self.with(Program::new(binary()?).arg("topics"), user, &["--list"])
    }

    /// Returns the tokens of a user, as Dohle's tool lists them.
    fn listed(&self, user: &Credentials) -> Result<Vec<Value>> {
        let listed = self.ours(user, &["--describe", "--output", "json"])?;
        Ok(serde_json::from_str(&listed.clean()?)?)
    }
}

/// Returns the id and the HMAC of the only token in the table that a tool prints.
pub(crate) fn only_token(printed: &str) -> Result<(String, String)> {
    let row = printed.lines().rfind(|line| line.contains("User:"));
    let mut cells = row.context("no token is printed")?.split_whitespace();
    let mut next = || cells.next().context("no cell").map(str::to_owned);
    Ok((next()?, next()?))
}

/// Returns the credentials of a client that logs in with a token.
pub(crate) fn token((id, hmac): &(String, String)) -> Credentials {
    Credentials {
        is_token: true,
        ..Credentials::sasl(MECHANISM, id, hmac)
    }
}

fn refused(tools: &Tools<'_>, with: &Credentials) -> Result<()> {
    let output = tools.topics(with)?;
    let cause = "invalid credentials with SASL mechanism SCRAM-SHA-512";
    ensure!(
        output.code == 1 && output.stdout.contains(cause),
        "{output}"
    );
    for family in FAMILIES {
        let output = family.round_trip(tools.address, "t", with).run()?;
        let printed = output.stdout.clone() + &output.stderr;
        let cause = match family {
            Family::Java => "invalid credentials with SASL mechanism SCRAM-SHA-512",
            _ => "SASL_AUTHENTICATION_FAILED",
        };
        ensure!(output.code != 0 && printed.contains(cause), "{output}");
    }
    Ok(())
}

#[test]
fn tokens_of_both_tools_authenticate_their_owner_until_they_expire() -> Result<()> {
    let (mut cluster, address) = cluster(&[
        ("delegation.token.secret.key", "secret-of-all-nodes"),
        ("delegation.token.expiry.check.interval.ms", "100"),
        (super::acls::AUTHORIZER.0, super::acls::AUTHORIZER.1),
        ("super.users", "User:ANONYMOUS;User:alice"),
    ])?;
    add_user(&cluster, "alice", "alice-secret")?;
    add_user(&cluster, "bob", "bob-secret")?;
    cluster.create_topic("t", 1, 1, &[])?;
    let tools = Tools {
        cluster: &cluster,
        address: &address,
    };
    let alice = Credentials::sasl(MECHANISM, "alice", "alice-secret");
    let bob = Credentials::sasl(MECHANISM, "bob", "bob-secret");

    let create = ["--create", "--max-life-time-period", "3600000"];
    let renewer = [&create[..], &["--renewer-principal", "User:bob"]].concat();
    let kafkas = only_token(&tools.kafkas(&alice, &renewer)?.ok()?)?;
    let ours = only_token(&tools.ours(&alice, &create)?.clean()?)?;
    let listed = tools.listed(&alice)?;
    let mut both = [&kafkas, &ours].map(|(id, hmac)| (id.clone(), hmac.clone()));
    both.sort();
    let text = |token: &Value, name: &str| token[name].as_str().map(str::to_owned);
    let found: Option<Vec<_>> = listed
        .iter()
        .map(|token| Some((text(token, "tokenId")?, text(token, "hmac")?)))
        .collect();
    ensure!(found.as_deref() == Some(&both), "{both:?} {listed:?}");
    let owner = ["--describe", "--owner-principal", "User:alice"];
    let described = tools.kafkas(&alice, &owner)?.ok()?;
    for (id, hmac) in &both {
        ensure!(
            described.contains(id) && described.contains(hmac),
            "{described}"
        );
    }
    // A renewer sees the token that it may renew, and no other.
    let bobs = tools.listed(&bob)?;
    ensure!(
        bobs.len() == 1 && bobs[0]["tokenId"] == *kafkas.0,
        "{bobs:?}"
    );

    let for_alice = [&create[..], &["--owner-principal", "User:alice"]].concat();
    let denied = tools.ours(&bob, &for_alice)?;
    ensure!(
        denied.code == 1
            && denied
                .stderr
                .contains("DelegationTokenAuthorizationException"),
        "{denied}"
    );

    for family in FAMILIES {
        let output = family.round_trip(&address, "t", &token(&kafkas)).run()?;
        ensure!(output.ok()?.contains("ok 10"), "{family:?}");
    }
    ensure!(tools.topics(&token(&kafkas))?.clean()? == "t\n");
    // A token cannot create tokens, and neither can a client that has not authenticated.
    let denied = tools.kafkas(&token(&ours), &create)?;
    ensure!(
        denied.code == 1
            && denied
                .stderr
                .contains("Delegation Token requests are not allowed"),
        "{denied}"
    );
    let open = Tools {
        cluster: &cluster,
        address: &cluster.bootstrap(),
    };
    let denied = open.ours(&Credentials::default(), &create)?;
    ensure!(
        denied.code == 1
            && denied
                .stderr
                .contains("UnsupportedByAuthenticationException"),
        "{denied}"
    );
    // The wrong HMAC.
    refused(&tools, &token(&(kafkas.0.clone(), ours.1.clone())))?;

    let renew = ["--renew", "--renew-time-period", "60000", "--hmac"];
    let of_kafkas = [&renew[..], &[&kafkas.1]].concat();
    let renewed = tools.ours(&bob, &of_kafkas)?.clean()?;
    ensure!(renewed.contains("Completed renew operation"), "{renewed}");
    let of_ours = [&renew[..], &[&ours.1]].concat();
    let renewed = tools.kafkas(&alice, &of_ours)?.ok()?;
    ensure!(renewed.contains("Completed renew operation"), "{renewed}");
    let denied = tools.ours(&bob, &of_ours)?;
    ensure!(
        denied
            .stderr
            .contains("DelegationTokenOwnerMismatchException"),
        "{denied}"
    );

    // One is removed at once, the other expires.
    let expire = ["--expire", "--expiry-time-period", "-1", "--hmac"];
    let expired = tools.ours(&alice, &[&expire[..], &[&kafkas.1]].concat())?;
    expired.clean()?;
    refused(&tools, &token(&kafkas))?;
    let expire = ["--expire", "--expiry-time-period", "1", "--hmac"];
    let expired = tools.kafkas(&alice, &[&expire[..], &[&ours.1]].concat())?;
    expired.ok()?;
    until(DEADLINE, "the expired token is removed", || {
        let log = cluster.nodes()[0].log()?;
        Ok(log.contains("removed an expired delegation token"))
    })?;
    refused(&tools, &token(&ours))?;
    let log = cluster.broker(1).log()?;
    for secret in [&kafkas.1, &ours.1, "secret-of-all-nodes"] {
        ensure!(!log.contains(secret), "the log has a secret");
    }
    Ok(())
}
