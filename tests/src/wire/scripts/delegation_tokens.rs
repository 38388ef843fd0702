//! The APIs of delegation tokens on a listener that does not authenticate, which refuses them all.
//! Pure.

use serde_json::{Value, json};

use super::super::script::{Script, around, case, each};

const WITHOUT: &str = "without authentication";

fn script(
    api: &'static str,
    versions: std::ops::RangeInclusive<i16>,
    request: &Value,
    other: &Value,
) -> Script {
    let cases = || {
        vec![
            case("a request", request.clone()),
            case("another request", other.clone()),
        ]
    };
    let mut sequences = each(WITHOUT, versions.clone(), &[], |_| cases());
    sequences.extend(around(versions, request));
    Script {
        api,
        unordered: &[],
        sequences,
    }
}

pub(super) fn create() -> Script {
    let renewer = |kind: &str| json!([{"PrincipalType": kind, "PrincipalName": "bob"}]);
    let own = json!({"OwnerPrincipalType": null, "OwnerPrincipalName": null,
        "Renewers": renewer("User"), "MaxLifetimeMs": -1});
    let of_alice = json!({"OwnerPrincipalType": "User", "OwnerPrincipalName": "alice",
        "Renewers": renewer("Group"), "MaxLifetimeMs": 1000});
    script("CreateDelegationToken", 1..=3, &own, &of_alice)
}

pub(super) fn renew() -> Script {
    let request = |hmac: &str| json!({"Hmac": hmac, "RenewPeriodMs": -1});
    script("RenewDelegationToken", 1..=2, &request("01"), &request(""))
}

pub(super) fn expire() -> Script {
    let request = |hmac: &str| json!({"Hmac": hmac, "ExpiryTimePeriodMs": -1});
    script("ExpireDelegationToken", 1..=2, &request("01"), &request(""))
}

pub(super) fn describe() -> Script {
    let owners = json!({"Owners": [{"PrincipalType": "User", "PrincipalName": "alice"}]});
    script(
        "DescribeDelegationToken",
        1..=3,
        &json!({"Owners": null}),
        &owners,
    )
}
