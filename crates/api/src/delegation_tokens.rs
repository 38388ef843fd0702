//! CreateDelegationToken 1–3, RenewDelegationToken 1–2, ExpireDelegationToken 1–2 and
//! DescribeDelegationToken 1–3 (KIP-48; version 3 has owner and requester, KIP-373).
//!
//! Changes are forwarded to the active controller. As in Kafka, a client that has not
//! authenticated, or has with a delegation token, is refused before anything else: a token cannot
//! create, renew or list tokens. Everyone creates tokens for themselves; a token for another user
//! needs CreateTokens on that user. Who is neither owner nor renewer of a token is shown it with
//! Describe on the token, or DescribeTokens on its owner.

use std::sync::Arc;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::delegation_token::DelegationToken;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::describe_delegation_token_response::{
    DescribedDelegationToken, DescribedDelegationTokenRenewer,
};
use dohle_protocol::messages::{
    CreateDelegationTokenRequestData, CreateDelegationTokenResponseData,
    DescribeDelegationTokenRequestData, DescribeDelegationTokenResponseData,
    ExpireDelegationTokenRequestData, ExpireDelegationTokenResponseData,
    RenewDelegationTokenRequestData, RenewDelegationTokenResponseData,
};

use super::{Call, wire};
use crate::pipeline::Authentication;

/// Kafka's time in responses of brokers that refuse a request.
const NO_TIME: i64 = -1;

impl Call {
    /// Requires that the sender has authenticated, and not with a delegation token.
    fn may_ask_about_tokens(&self) -> Result<(), ErrorCode> {
        match self.request.authentication {
            Authentication::Certificate | Authentication::Sasl => Ok(()),
            Authentication::None | Authentication::DelegationToken => {
                Err(ErrorCode::DelegationTokenRequestNotAllowed)
            }
        }
    }
}

/// The lowest version of CreateDelegationToken and DescribeDelegationToken with the requester.
const VERSION_WITH_REQUESTER: i16 = 3;

pub(super) async fn create(
    call: Call,
    request: CreateDelegationTokenRequestData,
) -> CreateDelegationTokenResponseData {
    let version = call.version;
    let mut response = created(call, &request).await;
    if version < VERSION_WITH_REQUESTER {
        response.token_requester_principal_type = wire::text("");
        response.token_requester_principal_name = wire::text("");
    }
    response
}

async fn created(
    call: Call,
    request: &CreateDelegationTokenRequestData,
) -> CreateDelegationTokenResponseData {
    let requester = call.request.principal.to_string();
    let named = request.owner_principal_name.as_ref();
    let owner = match named.filter(|name| !name.is_empty()) {
        None => requester.clone(),
        Some(name) => {
            let kind = request.owner_principal_type.as_ref();
            format!("{}:{name}", kind.map_or("", |kind| kind.as_str()))
        }
    };
    let allowed = call.may_ask_about_tokens().and_then(|()| {
        if owner == requester {
            return Ok(());
        }
        call.authorize(Operation::CreateTokens, ResourceType::User, &owner)
    });
    let (owner, requester) = (split(&owner), split(&requester));
    let refused = |error: &ApiError| CreateDelegationTokenResponseData {
        error_code: error.code.code(),
        principal_type: wire::text(owner.0),
        principal_name: wire::text(owner.1),
        token_requester_principal_type: wire::text(requester.0),
        token_requester_principal_name: wire::text(requester.1),
        issue_timestamp_ms: NO_TIME,
        expiry_timestamp_ms: NO_TIME,
        max_timestamp_ms: NO_TIME,
        ..CreateDelegationTokenResponseData::default()
    };
    call.forward_if(allowed, request, refused).await
}

pub(super) async fn renew(
    call: Call,
    request: RenewDelegationTokenRequestData,
) -> RenewDelegationTokenResponseData {
    let refused = |error: &ApiError| RenewDelegationTokenResponseData {
        error_code: error.code.code(),
        expiry_timestamp_ms: NO_TIME,
        ..RenewDelegationTokenResponseData::default()
    };
    let allowed = call.may_ask_about_tokens();
    call.forward_if(allowed, &request, refused).await
}

pub(super) async fn expire(
    call: Call,
    request: ExpireDelegationTokenRequestData,
) -> ExpireDelegationTokenResponseData {
    let refused = |error: &ApiError| ExpireDelegationTokenResponseData {
        error_code: error.code.code(),
        expiry_timestamp_ms: NO_TIME,
        ..ExpireDelegationTokenResponseData::default()
    };
    let allowed = call.may_ask_about_tokens();
    call.forward_if(allowed, &request, refused).await
}

pub(super) async fn describe(
    call: Call,
    request: DescribeDelegationTokenRequestData,
) -> DescribeDelegationTokenResponseData {
    let context = &call.context;
    let key = context.delegation_tokens.key();
    let key = key.ok_or(ErrorCode::DelegationTokenAuthDisabled);
    let key = match call.may_ask_about_tokens().and(key) {
        Ok(key) => key,
        Err(code) => {
            return DescribeDelegationTokenResponseData {
                error_code: code.code(),
                ..DescribeDelegationTokenResponseData::default()
            };
        }
    };
    let owners = request.owners.as_ref().map(|owners| {
        let owners = owners.iter();
        let owners = owners.map(|it| format!("{}:{}", it.principal_type, it.principal_name));
        owners.collect::<Vec<_>>()
    });
    let sender = call.request.principal.to_string();
    let is_wanted = |token: &DelegationToken| match &owners {
        None => true,
        Some(owners) => owners.iter().any(|owner| token.is_owner_or_renewer(owner)),
    };
    let is_visible = |token: &DelegationToken| {
        token.is_owner_or_renewer(&sender)
            || call.is_visible(
                Operation::Describe,
                ResourceType::DelegationToken,
                &token.id,
            )
            || call.is_visible(Operation::DescribeTokens, ResourceType::User, &token.owner)
    };
    let image = context.image();
    let tokens = image.delegation_tokens.values().map(|token| &**token);
    let tokens = tokens.filter(|token| is_wanted(token) && is_visible(token));
    DescribeDelegationTokenResponseData {
        tokens: tokens
            .map(|token| described(token, key.hmac(&token.id).to_vec(), call.version))
            .collect(),
        ..DescribeDelegationTokenResponseData::default()
    }
}

fn described(token: &DelegationToken, hmac: Vec<u8>, version: i16) -> DescribedDelegationToken {
    let owner = split(&token.owner);
    let requester = match version {
        VERSION_WITH_REQUESTER.. => split(&token.requester),
        _ => ("", ""),
    };
    let renewer = |renewer: &Arc<str>| {
        let (kind, name) = split(renewer);
        DescribedDelegationTokenRenewer {
            principal_type: wire::text(kind),
            principal_name: wire::text(name),
            ..DescribedDelegationTokenRenewer::default()
        }
    };
    DescribedDelegationToken {
        principal_type: wire::text(owner.0),
        principal_name: wire::text(owner.1),
        token_requester_principal_type: wire::text(requester.0),
        token_requester_principal_name: wire::text(requester.1),
        issue_timestamp: token.issued.0,
        expiry_timestamp: token.expires.0,
        max_timestamp: token.expires_last.0,
        token_id: wire::text(&token.id),
        hmac: hmac.into(),
        renewers: token.renewers.iter().map(renewer).collect(),
        ..DescribedDelegationToken::default()
    }
}

/// Divides a principal into its type and its name.
fn split(principal: &str) -> (&str, &str) {
    principal.split_once(':').unwrap_or(("", principal))
}
