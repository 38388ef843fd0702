//! Delegation tokens (KIP-48).

use dohle_model::Timestamp;
use dohle_model::delegation_token::DelegationToken;
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::create_delegation_token_request::CreatableRenewers;
use kacrab_protocol::generated::describe_delegation_token_request::DescribeDelegationTokenOwner;
use kacrab_protocol::generated::{
    CreateDelegationTokenRequestData, DescribeDelegationTokenRequestData,
    ExpireDelegationTokenRequestData, RenewDelegationTokenRequestData,
};

use crate::cluster::{Cluster, ClusterError, Recipient};

/// A principal: its type and its name.
pub type PrincipalParts = (String, String);

/// A token, and the secret that clients authenticate with.
#[derive(Clone)]
pub struct TokenAndHmac {
    /// The token.
    pub token: DelegationToken,
    /// Its HMAC.
    pub hmac: Vec<u8>,
}

/// Creates a token for `owner`, or for the caller. It can be renewed for at most this number of
/// milliseconds, or, if it is negative, for `delegation.token.max.lifetime.ms`.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn create_token(
    cluster: &Cluster,
    owner: Option<&PrincipalParts>,
    renewers: &[PrincipalParts],
    max_lifetime_ms: i64,
) -> Result<TokenAndHmac, ClusterError> {
    let renewer = |(kind, name): &PrincipalParts| CreatableRenewers {
        principal_type: text(kind),
        principal_name: text(name),
        ..CreatableRenewers::default()
    };
    let request = CreateDelegationTokenRequestData {
        owner_principal_type: owner.map(|(kind, _)| text(kind)),
        owner_principal_name: owner.map(|(_, name)| text(name)),
        renewers: renewers.iter().map(renewer).collect(),
        max_lifetime_ms,
        ..CreateDelegationTokenRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    let principal = |kind: &KafkaString, name: &KafkaString| format!("{kind}:{name}").into();
    let renewers = renewers.iter();
    Ok(TokenAndHmac {
        token: DelegationToken {
            id: answer.token_id.as_str().into(),
            owner: principal(&answer.principal_type, &answer.principal_name),
            requester: principal(
                &answer.token_requester_principal_type,
                &answer.token_requester_principal_name,
            ),
            renewers: renewers
                .map(|(kind, name)| format!("{kind}:{name}").into())
                .collect(),
            issued: Timestamp(answer.issue_timestamp_ms),
            expires: Timestamp(answer.expiry_timestamp_ms),
            expires_last: Timestamp(answer.max_timestamp_ms),
        },
        hmac: answer.hmac.to_vec(),
    })
}

/// Renews a token for this number of milliseconds, or, if it is negative, for
/// `delegation.token.expiry.time.ms`. Returns the time at which the token expires.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn renew_token(
    cluster: &Cluster,
    hmac: Vec<u8>,
    period_ms: i64,
) -> Result<Timestamp, ClusterError> {
    let request = RenewDelegationTokenRequestData {
        hmac: hmac.into(),
        renew_period_ms: period_ms,
        ..RenewDelegationTokenRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    Ok(Timestamp(answer.expiry_timestamp_ms))
}

/// Lets a token expire in this number of milliseconds; a negative one removes it at once. Returns
/// when the token expires.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn expire_token(
    cluster: &Cluster,
    hmac: Vec<u8>,
    period_ms: i64,
) -> Result<Timestamp, ClusterError> {
    let request = ExpireDelegationTokenRequestData {
        hmac: hmac.into(),
        expiry_time_period_ms: period_ms,
        ..ExpireDelegationTokenRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    Ok(Timestamp(answer.expiry_timestamp_ms))
}

/// Returns the tokens of these owners or renewers that the caller may see; without owners, all
/// that it may see.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn describe_tokens(
    cluster: &Cluster,
    owners: &[PrincipalParts],
) -> Result<Vec<TokenAndHmac>, ClusterError> {
    let owner = |(kind, name): &PrincipalParts| DescribeDelegationTokenOwner {
        principal_type: text(kind),
        principal_name: text(name),
        ..DescribeDelegationTokenOwner::default()
    };
    let request = DescribeDelegationTokenRequestData {
        owners: (!owners.is_empty()).then(|| owners.iter().map(owner).collect()),
        ..DescribeDelegationTokenRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    let tokens = answer.tokens.into_iter().map(|token| {
        let principal = |kind: &KafkaString, name: &KafkaString| format!("{kind}:{name}").into();
        let renewers = token.renewers.iter();
        TokenAndHmac {
            token: DelegationToken {
                id: token.token_id.as_str().into(),
                owner: principal(&token.principal_type, &token.principal_name),
                requester: principal(
                    &token.token_requester_principal_type,
                    &token.token_requester_principal_name,
                ),
                renewers: renewers
                    .map(|it| principal(&it.principal_type, &it.principal_name))
                    .collect(),
                issued: Timestamp(token.issue_timestamp),
                expires: Timestamp(token.expiry_timestamp),
                expires_last: Timestamp(token.max_timestamp),
            },
            hmac: token.hmac.to_vec(),
        }
    });
    Ok(tokens.collect())
}

fn text(text: &str) -> KafkaString {
    text.to_owned().into()
}
