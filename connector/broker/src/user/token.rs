//! Personal access tokens: secrets that log a user in without its password. Only their hashes are kept.

use std::collections::HashMap;
use std::sync::Arc;

use iggy_binary_protocol::WireName;
use iggy_common::{IggyErrorDiscriminants as Code, PersonalAccessToken};
use rand::distr::{Alphanumeric, SampleString};

use super::{User, Users};
use crate::store::{StoreError, TokenMeta};
use crate::wire::Refusal;

/// Characters of a token; 62 kinds give 380 bits.
const TOKEN_CHARS: usize = 64;

/// The tokens of all users, by their hashes.
#[derive(Default)]
pub(super) struct Tokens(HashMap<String, TokenMeta>);

impl Tokens {
    pub(super) fn extend(&mut self, tokens: Vec<TokenMeta>) {
        self.0.extend(tokens.into_iter().map(|token| (token.hash.clone(), token)));
    }

    pub(super) fn remove_all_of(&mut self, user_id: u32) {
        self.0.retain(|_, token| token.user_id != user_id);
    }

    fn of(&self, user_id: u32) -> impl Iterator<Item = &TokenMeta> {
        self.0.values().filter(move |token| token.user_id == user_id)
    }

    fn remove(&mut self, user_id: u32, name: &str) {
        self.0.retain(|_, token| (token.user_id, token.name.as_str()) != (user_id, name));
    }
}

/// What a new token is made of.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) user_id: u32,
    pub(crate) name: &'a WireName,
    /// When it stops to work, in µs since the epoch; `None` for never.
    pub(crate) expires_at_micros: Option<u64>,
}

impl Users {
    /// Creates a token, unless its user has `tokens_max`; answers the secret, which nobody can ask for again.
    /// Blocks on file I/O.
    pub(crate) fn create_token(&self, new: &NewToken<'_>, tokens_max: usize) -> Result<String, Refusal> {
        let _change = self.change();
        let (id, name) = (new.user_id, new.name.as_str());
        let count = {
            let table = self.read();
            if table.tokens.of(id).any(|token| token.name == name) {
                return Err(Code::PersonalAccessTokenAlreadyExists.into());
            }
            table.tokens.of(id).count()
        };
        if count >= tokens_max {
            return Err(Code::PersonalAccessTokensLimitReached.into());
        }
        let secret = Alphanumeric.sample_string(&mut rand::rng(), TOKEN_CHARS);
        let token = TokenMeta {
            user_id: id,
            name: name.to_owned(),
            hash: PersonalAccessToken::hash_token(&secret),
            expires_at_micros: new.expires_at_micros,
        };
        self.store.put_token(&token)?;
        self.write().tokens.extend(vec![token]);
        Ok(secret)
    }

    /// The tokens of a user, in the order of their names.
    pub(crate) fn tokens_of(&self, user_id: u32) -> Vec<TokenMeta> {
        let mut tokens: Vec<TokenMeta> = self.read().tokens.of(user_id).cloned().collect();
        tokens.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    /// Deletes a token. Sessions that it opened go on. Blocks on file I/O.
    pub(crate) fn delete_token(&self, user_id: u32, name: &str) -> Result<(), Refusal> {
        let _change = self.change();
        if !self.read().tokens.of(user_id).any(|token| token.name == name) {
            return Err(Code::ResourceNotFound.into());
        }
        self.store.delete_token(user_id, name)?;
        self.write().tokens.remove(user_id, name);
        Ok(())
    }

    /// The user that a secret logs in.
    pub(crate) fn by_token(&self, secret: &str, now_micros: u64) -> Option<Arc<User>> {
        let hash = PersonalAccessToken::hash_token(secret);
        let user_id = {
            let table = self.read();
            let token = table.tokens.0.get(&hash)?;
            if token.expires_at_micros.is_some_and(|end| end <= now_micros) {
                return None;
            }
            token.user_id
        };
        self.get(user_id)
    }

    /// Deletes the tokens that have expired. Blocks on file I/O when there are some.
    pub(crate) fn forget_expired_tokens(&self, now_micros: u64) -> Result<(), StoreError> {
        let _change = self.change();
        let expired: Vec<TokenMeta> = {
            let table = self.read();
            let tokens = table.tokens.0.values();
            tokens
                .filter(|token| token.expires_at_micros.is_some_and(|end| end <= now_micros))
                .cloned()
                .collect()
        };
        for token in expired {
            self.store.delete_token(token.user_id, &token.name)?;
            self.write().tokens.remove(token.user_id, &token.name);
        }
        Ok(())
    }
}
