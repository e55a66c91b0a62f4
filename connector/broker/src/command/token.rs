//! Personal access tokens. Everybody has only their own.

use std::ops::RangeInclusive;

use iggy_binary_protocol::WireName;
use iggy_binary_protocol::codes::{
    CREATE_PERSONAL_ACCESS_TOKEN_CODE, DELETE_PERSONAL_ACCESS_TOKEN_CODE, GET_PERSONAL_ACCESS_TOKENS_CODE,
};
use iggy_binary_protocol::requests::personal_access_tokens::{
    CreatePersonalAccessTokenRequest, DeletePersonalAccessTokenRequest,
};
use iggy_binary_protocol::responses::personal_access_tokens::{
    GetPersonalAccessTokensResponse, PersonalAccessTokenResponse, RawPersonalAccessTokenResponse,
};
use iggy_common::IggyErrorDiscriminants as Code;

use super::{Call, change};
use crate::clock::steady_micros;
use crate::user::NewToken;
use crate::wire::{Payload, Refusal};

/// Bounds of the protocol.
const NAME_BYTES: RangeInclusive<usize> = 3..=30;
/// Lifetimes that mean for ever: the default of the server, and never.
const FOR_EVER: [u64; 2] = [0, u64::MAX];

pub(super) fn run(code: u32, call: &Call<'_>) -> Result<Payload, Refusal> {
    match code {
        GET_PERSONAL_ACCESS_TOKENS_CODE => list(call),
        CREATE_PERSONAL_ACCESS_TOKEN_CODE => create(call),
        DELETE_PERSONAL_ACCESS_TOKEN_CODE => delete(call),
        _ => Err(Code::InvalidCommand.into()),
    }
}

fn list(call: &Call<'_>) -> Result<Payload, Refusal> {
    let tokens = call.engine.users.tokens_of(call.user.meta.id).into_iter().map(|token| {
        Ok(PersonalAccessTokenResponse {
            name: WireName::new(token.name)?,
            // Zero stands for never.
            expiry_at: token.expires_at_micros.unwrap_or(0),
        })
    });
    let tokens: Result<Vec<_>, Refusal> = tokens.collect();
    Ok(Payload::of(&GetPersonalAccessTokensResponse { tokens: tokens? }))
}

fn create(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: CreatePersonalAccessTokenRequest = call.decode()?;
    if !NAME_BYTES.contains(&request.name.len()) {
        return Err(Code::InvalidPersonalAccessTokenName.into());
    }
    let lives_micros = Some(request.expiry).filter(|expiry| !FOR_EVER.contains(expiry));
    let new = NewToken {
        user_id: call.user.meta.id,
        name: &request.name,
        expires_at_micros: lives_micros.map(|lives| steady_micros().saturating_add(lives)),
    };
    let secret = change(|| call.engine.users.create_token(&new, call.engine.limits.tokens_max))?;
    Ok(Payload::of(&RawPersonalAccessTokenResponse { token: WireName::new(secret)? }))
}

fn delete(call: &Call<'_>) -> Result<Payload, Refusal> {
    let request: DeletePersonalAccessTokenRequest = call.decode()?;
    change(|| call.engine.users.delete_token(call.user.meta.id, &request.name))?;
    Ok(Payload::empty())
}
