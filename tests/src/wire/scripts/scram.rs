//! DescribeUserScramCredentials and AlterUserScramCredentials. Pure.
//!
//! Each sequence removes the credentials that it creates, so that "all users" are its own alone.

use serde_json::{Value, json};

use super::super::script::{Script, Step, Until, around, call, case, each};
use super::with;

const SHA_256: i8 = 1;
const SHA_512: i8 = 2;

pub(super) fn describe_user_scram_credentials() -> Script {
    let mut sequences = each("users", 0..=0, &[], |_| described());
    sequences.extend(around(0..=0, &json!({"Users": []})));
    Script {
        api: "DescribeUserScramCredentials",
        unordered: &["Results", "CredentialInfos"],
        sequences,
    }
}

pub(super) fn alter_user_scram_credentials() -> Script {
    let mut sequences = each("credentials", 0..=0, &[], |_| altered());
    let request = json!({"Deletions": [], "Upsertions": []});
    sequences.extend(around(0..=0, &request));
    Script {
        api: "AlterUserScramCredentials",
        unordered: &["Results"],
        sequences,
    }
}

/// Returns a new credential of the user `u`, with changes.
fn upsertion(changes: &Value) -> Value {
    let credential = json!({"Name": "u", "Mechanism": SHA_256, "Iterations": 4096,
        "Salt": "00112233445566778899aabbccddeeff",
        "SaltedPassword": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"});
    with(&credential, changes)
}

fn upsertions(changes: &[Value]) -> Value {
    let upsertions: Vec<Value> = changes.iter().map(upsertion).collect();
    json!({"Deletions": [], "Upsertions": upsertions})
}

fn deletions(users: &[(&str, i8)]) -> Value {
    let deletion = |(name, mechanism): &(&str, i8)| json!({"Name": name, "Mechanism": mechanism});
    let deletions: Vec<Value> = users.iter().map(deletion).collect();
    json!({"Deletions": deletions, "Upsertions": []})
}

fn users(names: &[&str]) -> Value {
    let users: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
    json!({ "Users": users })
}

fn alter(request: Value) -> Step {
    call("AlterUserScramCredentials", 0, request)
}

/// Waits until the broker has this answer about a user.
fn wait(user: &str, path: &'static str, value: Value) -> Step {
    Step::Call {
        api: "DescribeUserScramCredentials",
        version: 0,
        request: users(&[user]),
        until: Until::Field(path, value),
        captures: Vec::new(),
    }
}

/// `RESOURCE_NOT_FOUND`.
const NOT_FOUND: i16 = 91;

fn described() -> Vec<Step> {
    let mut steps = vec![
        case("nobody", users(&[])),
        case("a user without credentials", users(&["u"])),
        // A user occurs once in a request.
        alter(upsertions(&[
            json!({"Mechanism": SHA_512, "Iterations": 8192}),
        ])),
        alter(upsertions(&[json!({}), json!({"Name": "v"})])),
        wait("v", "Results.0.CredentialInfos.0.Iterations", json!(4096)),
        case("all users", users(&[])),
        case("all users, as null", json!({"Users": null})),
        case("a user", users(&["u"])),
        case("users", users(&["u", "v", "none"])),
        case("a user twice", users(&["u", "u"])),
        case("a user twice, and another", users(&["v", "u", "u"])),
        case("an empty name", users(&[""])),
        case("no name", json!({"Users": [{"Name": null}]})),
        alter(deletions(&[("u", SHA_256), ("v", SHA_256)])),
        alter(deletions(&[("u", SHA_512)])),
    ];
    steps.extend(["u", "v"].map(|user| wait(user, "Results.0.ErrorCode", json!(NOT_FOUND))));
    steps
}

fn altered() -> Vec<Step> {
    let one = |name, changes: Value| case(name, upsertions(&[changes]));
    let gone = |name, user: &str, mechanism: i8| case(name, deletions(&[(user, mechanism)]));
    let mut steps = vec![
        case("nothing", upsertions(&[])),
        one("a credential", json!({})),
        one("the same credential", json!({})),
        one("another mechanism", json!({"Mechanism": SHA_512})),
        one("mechanism 0", json!({"Mechanism": 0})),
        one("mechanism 3", json!({"Mechanism": 3})),
        one("a negative mechanism", json!({"Mechanism": -1})),
        one("too few iterations", json!({"Iterations": 4095})),
        one("the most iterations", json!({"Iterations": 16384})),
        one("too many iterations", json!({"Iterations": 16385})),
        one("negative iterations", json!({"Iterations": -1})),
        one("an empty name", json!({"Name": ""})),
        one("no name", json!({"Name": null})),
        one("an empty salt", json!({"Salt": ""})),
        one("an empty password", json!({"SaltedPassword": ""})),
        one("a short password", json!({"SaltedPassword": "00"})),
        case(
            "two users",
            upsertions(&[json!({"Name": "v"}), json!({"Name": "w"})]),
        ),
        case(
            "a user twice",
            upsertions(&[json!({}), json!({"Mechanism": SHA_512})]),
        ),
        case(
            "a user twice, the first bad",
            upsertions(&[json!({"Iterations": 1}), json!({"Mechanism": SHA_512})]),
        ),
        case(
            "a good and a bad user",
            upsertions(&[json!({"Name": "v"}), json!({"Iterations": 1})]),
        ),
        case("a deletion and a credential of one user", {
            let mut request = upsertions(&[json!({"Mechanism": SHA_512})]);
            request["Deletions"] = json!([{"Name": "u", "Mechanism": SHA_256}]);
            request
        }),
        gone("a deletion", "u", SHA_256),
        gone("the same deletion", "u", SHA_256),
        gone("a deletion of nothing", "nobody", SHA_256),
        gone("a deletion with mechanism 0", "u", 0),
        gone("a deletion with mechanism 3", "u", 3),
        gone("a deletion of an empty name", "", SHA_256),
        case(
            "two deletions of a user",
            deletions(&[("v", SHA_256), ("v", SHA_512)]),
        ),
        case(
            "deletions of users",
            deletions(&[("u", SHA_512), ("v", SHA_256), ("w", SHA_256)]),
        ),
    ];
    steps.extend(["u", "v", "w"].map(|user| wait(user, "Results.0.ErrorCode", json!(NOT_FOUND))));
    steps
}
