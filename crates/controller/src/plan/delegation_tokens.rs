//! CreateDelegationToken, RenewDelegationToken and ExpireDelegationToken (KIP-48, KIP-373), and the
//! removal of expired tokens.
//!
//! A token that is created has the id of its request. The rules are those of Kafka's
//! `DelegationTokenControlManager`, with one more: owners are users, as principals of clients are,
//! so that a token never acts for another principal than its owner.

use std::sync::Arc;
use std::time::Duration;

use dohle_model::delegation_token::DelegationToken;
use dohle_model::features::METADATA_VERSION;
use dohle_model::record::MetadataRecord;
use dohle_model::{ErrorCode, Timestamp, Uuid};
use dohle_protocol::messages::{
    CreateDelegationTokenRequestData, CreateDelegationTokenResponseData,
    ExpireDelegationTokenRequestData, ExpireDelegationTokenResponseData,
    RenewDelegationTokenRequestData, RenewDelegationTokenResponseData,
};
use dohle_protocol::text;

use super::{Draft, Note, RECORDS_PER_REQUEST_MAX, TokenSettings};

/// The lowest `metadata.version` with delegation tokens in Kafka (`3.6-IV2`).
const METADATA_VERSION_MIN: i16 = 14;

/// The only type of principals.
const USER: &str = "User";

/// The most renewers of a token.
const RENEWERS_MAX: usize = 1000;

/// Who asks for something about tokens, and when.
#[derive(Debug, Clone, Copy)]
pub struct TokenRequest<'a> {
    /// The id of the request.
    pub id: Uuid,
    /// The principal, for example `User:alice`.
    pub principal: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// Plans CreateDelegationToken.
#[must_use]
pub fn create(
    draft: &mut Draft,
    request: &CreateDelegationTokenRequestData,
    by: TokenRequest<'_>,
) -> CreateDelegationTokenResponseData {
    let requested = request.owner_principal_name.as_ref();
    let (owner_type, owner) = match requested.filter(|name| !name.is_empty()) {
        None => split(by.principal),
        Some(name) => {
            let kind = request.owner_principal_type.as_ref();
            (kind.map_or("", |kind| kind.as_str()), name.as_str())
        }
    };
    let (requester_type, requester) = split(by.principal);
    let mut response = CreateDelegationTokenResponseData {
        principal_type: text(owner_type),
        principal_name: text(owner),
        token_requester_principal_type: text(requester_type),
        token_requester_principal_name: text(requester),
        ..CreateDelegationTokenResponseData::default()
    };
    let created = new_token(draft, request, by, (owner_type, owner));
    match created {
        Err(error) => response.error_code = error.code(),
        Ok((token, hmac)) => {
            response.issue_timestamp_ms = token.issued.0;
            response.expiry_timestamp_ms = token.expires.0;
            response.max_timestamp_ms = token.expires_last.0;
            response.token_id = text(&token.id);
            response.hmac = hmac.into();
            draft.push(MetadataRecord::DelegationToken(token));
        }
    }
    response
}

/// Returns the token that a request asks for, and its HMAC.
fn new_token(
    draft: &Draft,
    request: &CreateDelegationTokenRequestData,
    by: TokenRequest<'_>,
    (owner_type, owner): (&str, &str),
) -> Result<(DelegationToken, Vec<u8>), ErrorCode> {
    let settings = enabled(draft)?;
    draft.check_space().map_err(|error| error.code)?;
    let renewers = request.renewers.iter();
    let mut types = renewers.map(|renewer| renewer.principal_type.as_str());
    if owner_type != USER || types.any(|kind| kind != USER) {
        return Err(ErrorCode::InvalidPrincipalType);
    }
    if request.renewers.len() > RENEWERS_MAX {
        return Err(ErrorCode::InvalidRequest);
    }
    let lifetime = limited(request.max_lifetime_ms, settings.lifetime_max);
    let expires_last = later(by.now, lifetime);
    let renewers = request.renewers.iter();
    let renewers = renewers.map(|renewer| principal(USER, renewer.principal_name.as_str()));
    let token = DelegationToken {
        id: by.id.to_string().into(),
        owner: principal(owner_type, owner),
        requester: by.principal.into(),
        renewers: renewers.collect(),
        issued: by.now,
        expires: later(by.now, millis(settings.renewal_max)).min(expires_last),
        expires_last,
    };
    let hmac = settings.key.hmac(&token.id).to_vec();
    Ok((token, hmac))
}

/// Plans RenewDelegationToken.
#[must_use]
pub fn renew(
    draft: &mut Draft,
    request: &RenewDelegationTokenRequestData,
    by: TokenRequest<'_>,
) -> RenewDelegationTokenResponseData {
    let renewed = find(draft, &request.hmac).and_then(|(token, settings)| {
        check_valid(&token, by.now)?;
        check_owner(&token, by)?;
        let period = limited(request.renew_period_ms, settings.renewal_max);
        Ok(expiring(&token, later(by.now, period)))
    });
    let (error_code, expires) = change(draft, renewed);
    RenewDelegationTokenResponseData {
        error_code,
        expiry_timestamp_ms: expires,
        ..RenewDelegationTokenResponseData::default()
    }
}

/// Plans ExpireDelegationToken. A negative period removes the token at once.
#[must_use]
pub fn expire(
    draft: &mut Draft,
    request: &ExpireDelegationTokenRequestData,
    by: TokenRequest<'_>,
) -> ExpireDelegationTokenResponseData {
    let period = request.expiry_time_period_ms;
    let found = find(draft, &request.hmac).and_then(|(token, _)| {
        check_owner(&token, by)?;
        Ok(token)
    });
    let (error_code, expires) = match found {
        Ok(token) if period < 0 => {
            let id = Arc::clone(&token.id);
            draft.push(MetadataRecord::RemoveDelegationToken { id });
            (0, by.now.0)
        }
        found => {
            let changed = found.and_then(|token| {
                check_valid(&token, by.now)?;
                Ok(expiring(&token, later(by.now, period)))
            });
            change(draft, changed)
        }
    };
    ExpireDelegationTokenResponseData {
        error_code,
        expiry_timestamp_ms: expires,
        ..ExpireDelegationTokenResponseData::default()
    }
}

/// Removes tokens that have expired, at most as many as one request may change.
pub fn remove_expired(draft: &mut Draft, now: Timestamp) {
    let tokens = draft.image.delegation_tokens.values();
    let expired = tokens.filter(|token| token.has_expired(now));
    let expired: Vec<_> = expired.take(RECORDS_PER_REQUEST_MAX).cloned().collect();
    for token in expired {
        draft.may_split();
        draft.push(MetadataRecord::RemoveDelegationToken {
            id: Arc::clone(&token.id),
        });
        draft.notes.push(Note::TokenExpired {
            id: Arc::clone(&token.id),
            owner: Arc::clone(&token.owner),
        });
    }
}

/// Pushes the changed token. Returns the error code, and when the token expires.
fn change(draft: &mut Draft, changed: Result<DelegationToken, ErrorCode>) -> (i16, i64) {
    match changed {
        Err(error) => (error.code(), 0),
        Ok(token) => {
            let expires = token.expires.0;
            draft.push(MetadataRecord::DelegationToken(token));
            (0, expires)
        }
    }
}

fn enabled(draft: &Draft) -> Result<TokenSettings, ErrorCode> {
    let settings = draft.settings.delegation_tokens.as_ref();
    let settings = settings.ok_or(ErrorCode::DelegationTokenAuthDisabled)?;
    if draft.image.feature_level(METADATA_VERSION) < METADATA_VERSION_MIN {
        return Err(ErrorCode::UnsupportedVersion);
    }
    Ok(settings.clone())
}

/// Finds the token with this HMAC.
fn find(draft: &Draft, hmac: &[u8]) -> Result<(Arc<DelegationToken>, TokenSettings), ErrorCode> {
    let settings = enabled(draft)?;
    let mut tokens = draft.image.delegation_tokens.values();
    let token = tokens
        .find(|token| settings.key.is_hmac(&token.id, hmac))
        .ok_or(ErrorCode::DelegationTokenNotFound)?;
    Ok((Arc::clone(token), settings))
}

fn check_owner(token: &DelegationToken, by: TokenRequest<'_>) -> Result<(), ErrorCode> {
    match token.is_owner_or_renewer(by.principal) {
        true => Ok(()),
        false => Err(ErrorCode::DelegationTokenOwnerMismatch),
    }
}

fn check_valid(token: &DelegationToken, now: Timestamp) -> Result<(), ErrorCode> {
    match token.has_expired(now) {
        true => Err(ErrorCode::DelegationTokenExpired),
        false => Ok(()),
    }
}

/// Returns the token with another time of expiry, which is not after its last one.
fn expiring(token: &DelegationToken, expires: Timestamp) -> DelegationToken {
    DelegationToken {
        expires: expires.min(token.expires_last),
        ..token.clone()
    }
}

/// Returns a period that a request asks for, in milliseconds: `max` when it is not positive, or
/// longer.
fn limited(period_ms: i64, max: Duration) -> i64 {
    match period_ms {
        ..=0 => millis(max),
        _ => period_ms.min(millis(max)),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn later(time: Timestamp, milliseconds: i64) -> Timestamp {
    Timestamp(time.0.saturating_add(milliseconds))
}

fn principal(kind: &str, name: &str) -> Arc<str> {
    format!("{kind}:{name}").into()
}

/// Divides a principal into its type and its name.
fn split(principal: &str) -> (&str, &str) {
    principal.split_once(':').unwrap_or((USER, principal))
}
