//! Users and their access tokens in the store. As in the catalog, a change is on the disk when its call returns.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::database::{COUNTERS, TOKENS, USERS};
use super::{Store, StoreError};
use crate::clock::steady_micros;

const NEXT_USER_KEY: &str = "next-user-id";
/// The user that is always there. It may do everything.
pub(crate) const ROOT_USER_ID: u32 = 0;
/// Status of a user that may log in, on the wire and here.
pub(crate) const STATUS_ACTIVE: u8 = 1;

/// A user as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserMeta {
    /// User id, never used again; 0 is the root user.
    pub(crate) id: u32,
    /// Name, unique among users.
    pub(crate) name: String,
    /// Creation time in µs since the epoch.
    pub(crate) created_at_micros: u64,
    /// Status code of the wire.
    pub(crate) status: u8,
    /// Password hash in the PHC string format.
    pub(crate) password_hash: String,
    /// Permissions in the form of the wire.
    pub(crate) permissions: Option<Vec<u8>>,
}

impl UserMeta {
    /// The root user, created now.
    pub(crate) fn root(name: String, password_hash: String) -> Self {
        Self {
            id: ROOT_USER_ID,
            name,
            created_at_micros: steady_micros(),
            status: STATUS_ACTIVE,
            password_hash,
            permissions: None,
        }
    }
}

/// An access token as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenMeta {
    /// Whom it logs in.
    pub(crate) user_id: u32,
    /// Name, unique among the tokens of its user.
    pub(crate) name: String,
    /// Hash of the secret.
    pub(crate) hash: String,
    /// When it stops to work, in µs since the epoch; `None` for never.
    pub(crate) expires_at_micros: Option<u64>,
}

/// All users and tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct UsersImage {
    /// Id that the next user gets.
    pub(crate) next_user_id: u32,
    /// All users, in the order of ids.
    pub(crate) users: Vec<UserMeta>,
    /// All tokens.
    pub(crate) tokens: Vec<TokenMeta>,
}

impl Store {
    /// Reads the users and tokens.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn load_users(&self) -> Result<UsersImage, StoreError> {
        let next = self.database.counter(NEXT_USER_KEY)?.max(u64::from(ROOT_USER_ID) + 1);
        Ok(UsersImage {
            next_user_id: u32::try_from(next).unwrap_or(u32::MAX),
            users: self.database.all(USERS)?,
            tokens: self.database.all(TOKENS)?,
        })
    }

    /// The root user, if one was stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn root_user(&self) -> Result<Option<UserMeta>, StoreError> {
        Ok(self.load_users()?.users.into_iter().find(|user| user.id == ROOT_USER_ID))
    }

    /// Creates or replaces a user.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn put_user(&self, user: &UserMeta) -> Result<(), StoreError> {
        let value = self.database.encode(user)?;
        self.database.write("store a user", |txn| {
            txn.open_table(USERS)?.insert(user.id, value.as_slice())?;
            let mut counters = txn.open_table(COUNTERS)?;
            let next = counters.get(NEXT_USER_KEY)?.map_or(0, |next| next.value());
            counters.insert(NEXT_USER_KEY, next.max(u64::from(user.id) + 1))?;
            Ok(())
        })
    }

    /// Deletes a user with its tokens, at once.
    ///
    /// # Errors
    /// When the database cannot be written; everything is as before then.
    pub(crate) fn delete_user(&self, id: u32) -> Result<(), StoreError> {
        self.database.write("delete a user", |txn| {
            txn.open_table(USERS)?.remove(id)?;
            txn.open_table(TOKENS)?.retain(|(user, _), _| user != id)?;
            Ok(())
        })
    }

    /// Creates or replaces an access token.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn put_token(&self, token: &TokenMeta) -> Result<(), StoreError> {
        let value = self.database.encode(token)?;
        self.database.write("store an access token", |txn| {
            txn.open_table(TOKENS)?.insert((token.user_id, token.name.as_str()), value.as_slice())?;
            Ok(())
        })
    }

    /// Deletes an access token.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn delete_token(&self, user_id: u32, name: &str) -> Result<(), StoreError> {
        self.database.write("delete an access token", |txn| {
            txn.open_table(TOKENS)?.remove((user_id, name))?;
            Ok(())
        })
    }
}
