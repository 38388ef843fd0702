//! Delegation tokens: their lifetimes, who may renew them, and when they are removed.

use std::sync::Arc;
use std::time::Duration;

use dohle_auth::TokenKey;
use dohle_model::features::METADATA_VERSION;
use dohle_model::record::MetadataRecord;
use dohle_model::{ErrorCode as Code, Timestamp, Uuid};
use dohle_protocol::messages::create_delegation_token_request::CreatableRenewers;
use dohle_protocol::messages::{
    CreateDelegationTokenRequestData, CreateDelegationTokenResponseData,
    ExpireDelegationTokenRequestData, RenewDelegationTokenRequestData,
};
use dohle_protocol::text;

use super::Harness;
use crate::plan::delegation_tokens::{TokenRequest, create, expire, remove_expired, renew};
use crate::plan::{Draft, Note, TokenSettings};

fn draft() -> Draft {
    let mut draft = Harness::new(true).draft;
    let mut settings = (*draft.settings).clone();
    settings.delegation_tokens = Some(TokenSettings {
        key: TokenKey::new("secret key").unwrap(),
        lifetime_max: Duration::from_millis(1000),
        renewal_max: Duration::from_millis(300),
        check_interval: Duration::from_millis(50),
    });
    draft.settings = Arc::new(settings);
    draft
}

fn by(principal: &str, now: i64) -> TokenRequest<'_> {
    TokenRequest {
        id: Uuid([now.to_le_bytes()[0]; 16]),
        principal,
        now: Timestamp(now),
    }
}

fn renewer(kind: &str, name: &str) -> CreatableRenewers {
    CreatableRenewers {
        principal_type: text(kind),
        principal_name: text(name),
        ..CreatableRenewers::default()
    }
}

/// A token of alice that bob may renew.
fn token(draft: &mut Draft, now: i64, lifetime: i64) -> CreateDelegationTokenResponseData {
    let request = CreateDelegationTokenRequestData {
        renewers: vec![renewer("User", "bob")],
        max_lifetime_ms: lifetime,
        ..CreateDelegationTokenRequestData::default()
    };
    create(draft, &request, by("User:alice", now))
}

fn renew_at(draft: &mut Draft, hmac: &[u8], who: &str, now: i64, period: i64) -> (i16, i64) {
    let request = RenewDelegationTokenRequestData {
        hmac: hmac.to_vec().into(),
        renew_period_ms: period,
        ..RenewDelegationTokenRequestData::default()
    };
    let response = renew(draft, &request, by(who, now));
    (response.error_code, response.expiry_timestamp_ms)
}

fn expire_at(draft: &mut Draft, hmac: &[u8], who: &str, now: i64, period: i64) -> (i16, i64) {
    let request = ExpireDelegationTokenRequestData {
        hmac: hmac.to_vec().into(),
        expiry_time_period_ms: period,
        ..ExpireDelegationTokenRequestData::default()
    };
    let response = expire(draft, &request, by(who, now));
    (response.error_code, response.expiry_timestamp_ms)
}

#[test]
fn a_token_has_the_lifetimes_of_the_properties_unless_it_asks_for_less() {
    let mut draft = draft();
    let times = |it: &CreateDelegationTokenResponseData| {
        (
            it.issue_timestamp_ms,
            it.expiry_timestamp_ms,
            it.max_timestamp_ms,
        )
    };
    let one = token(&mut draft, 10, -1);
    assert_eq!(times(&one), (10, 310, 1010));
    assert_eq!(one.hmac.len(), 64);
    assert_eq!(one.token_id.as_str(), Uuid([10; 16]).to_string());
    assert_eq!(one.principal_name.as_str(), "alice");
    assert_eq!(one.token_requester_principal_name.as_str(), "alice");
    assert_eq!(times(&token(&mut draft, 20, 100)), (20, 120, 120));
    assert_eq!(times(&token(&mut draft, 30, 5000)), (30, 330, 1030));
    assert_eq!(draft.image.delegation_tokens.len(), 3);
    let printed = format!("{:?}", draft.records);
    assert!(!printed.contains("secret key"), "{printed}");
}

#[test]
fn a_token_for_somebody_else_has_an_owner_and_a_requester() {
    let mut draft = draft();
    let request = CreateDelegationTokenRequestData {
        owner_principal_type: Some(text("User")),
        owner_principal_name: Some(text("carol")),
        max_lifetime_ms: -1,
        ..CreateDelegationTokenRequestData::default()
    };
    let response = create(&mut draft, &request, by("User:alice", 10));
    assert_eq!(response.principal_name.as_str(), "carol");
    assert_eq!(response.token_requester_principal_name.as_str(), "alice");
    // Whoever requested it may not renew it.
    let refused = (Code::DelegationTokenOwnerMismatch.code(), 0);
    assert_eq!(
        renew_at(&mut draft, &response.hmac, "User:alice", 20, -1),
        refused
    );
    assert_eq!(
        renew_at(&mut draft, &response.hmac, "User:carol", 20, -1),
        (0, 320)
    );
}

#[test]
fn owners_and_renewers_are_users() {
    let mut draft = draft();
    let owner = CreateDelegationTokenRequestData {
        owner_principal_type: Some(text("Group")),
        owner_principal_name: Some(text("alice")),
        ..CreateDelegationTokenRequestData::default()
    };
    let renewers = CreateDelegationTokenRequestData {
        renewers: vec![renewer("User", "bob"), renewer("Group", "admins")],
        ..CreateDelegationTokenRequestData::default()
    };
    for request in [owner, renewers] {
        let response = create(&mut draft, &request, by("User:alice", 10));
        assert_eq!(response.error_code, Code::InvalidPrincipalType.code());
    }
    assert!(
        draft
            .records
            .iter()
            .all(|it| !matches!(it, MetadataRecord::DelegationToken(_)))
    );
}

#[test]
fn owner_and_renewers_renew_a_token_until_its_last_expiry() {
    let mut draft = draft();
    let hmac = token(&mut draft, 10, -1).hmac;
    assert_eq!(renew_at(&mut draft, &hmac, "User:alice", 300, -1), (0, 600));
    assert_eq!(renew_at(&mut draft, &hmac, "User:bob", 500, 100), (0, 600));
    assert_eq!(renew_at(&mut draft, &hmac, "User:bob", 600, 9000), (0, 900));
    assert_eq!(
        renew_at(&mut draft, &hmac, "User:alice", 900, -1),
        (0, 1010)
    );
    let refused = |code: Code| (code.code(), 0);
    let mismatch = refused(Code::DelegationTokenOwnerMismatch);
    assert_eq!(renew_at(&mut draft, &hmac, "User:eve", 900, -1), mismatch);
    let missing = refused(Code::DelegationTokenNotFound);
    assert_eq!(
        renew_at(&mut draft, &hmac[1..], "User:alice", 900, -1),
        missing
    );
    let expired = refused(Code::DelegationTokenExpired);
    assert_eq!(renew_at(&mut draft, &hmac, "User:alice", 1011, -1), expired);
}

#[test]
fn a_token_is_expired_now_or_later() {
    let mut draft = draft();
    let hmac = token(&mut draft, 10, -1).hmac;
    let mismatch = (Code::DelegationTokenOwnerMismatch.code(), 0);
    assert_eq!(expire_at(&mut draft, &hmac, "User:eve", 20, -1), mismatch);
    assert_eq!(expire_at(&mut draft, &hmac, "User:bob", 20, 30), (0, 50));
    let expired = (Code::DelegationTokenExpired.code(), 0);
    assert_eq!(expire_at(&mut draft, &hmac, "User:bob", 51, 30), expired);
    assert_eq!(expire_at(&mut draft, &hmac, "User:alice", 51, -1), (0, 51));
    assert!(draft.image.delegation_tokens.is_empty());
    let missing = (Code::DelegationTokenNotFound.code(), 0);
    assert_eq!(expire_at(&mut draft, &hmac, "User:alice", 52, -1), missing);
}

#[test]
fn expired_tokens_are_removed_and_noted() {
    let mut draft = draft();
    token(&mut draft, 10, 100);
    token(&mut draft, 20, -1);
    remove_expired(&mut draft, Timestamp(110));
    assert_eq!(draft.image.delegation_tokens.len(), 2);
    remove_expired(&mut draft, Timestamp(111));
    let left = draft.image.delegation_tokens.keys();
    let left: Vec<String> = left.map(ToString::to_string).collect();
    assert_eq!(left, [Uuid([20; 16]).to_string()]);
    let note = Note::TokenExpired {
        id: Uuid([10; 16]).to_string().into(),
        owner: "User:alice".into(),
    };
    assert_eq!(draft.notes, [note]);
}

#[test]
fn tokens_need_the_secret_key_and_a_metadata_version() {
    let mut old = draft();
    old.push(MetadataRecord::FeatureLevel {
        name: METADATA_VERSION.to_owned(),
        level: 13,
    });
    let mut disabled = Harness::new(true).draft;
    for (draft, code) in [
        (&mut old, Code::UnsupportedVersion),
        (&mut disabled, Code::DelegationTokenAuthDisabled),
    ] {
        assert_eq!(token(draft, 10, -1).error_code, code.code());
        let refused = (code.code(), 0);
        assert_eq!(renew_at(draft, &[], "User:alice", 10, -1), refused);
        assert_eq!(expire_at(draft, &[], "User:alice", 10, -1), refused);
    }
}
