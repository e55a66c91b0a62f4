//! Who may log in: the users with their permissions and access tokens. A picture in memory for the readers, kept
//! equal to the store by one writer at a time.

mod permission;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use iggy_binary_protocol::primitives::permissions::WirePermissions;
use iggy_binary_protocol::{WireDecode, WireEncode, WireIdentifier, WireName};
use iggy_common::IggyErrorDiscriminants as Code;

use crate::catalog::Named;
use crate::clock::steady_micros;
use crate::store::{STATUS_ACTIVE, Store, StoreError, UserMeta};
use crate::wire::Refusal;

pub(crate) use crate::store::ROOT_USER_ID;
pub(crate) use permission::{Action, Decision, StreamAction, TopicAction};
pub(crate) use token::NewToken;
use token::Tokens;

/// A user as it was when it was looked up.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) meta: UserMeta,
    pub(crate) permissions: Option<WirePermissions>,
}

/// What a new user is made of.
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a WireName,
    pub(crate) password_hash: String,
    pub(crate) status: u8,
    pub(crate) permissions: Option<WirePermissions>,
}

/// What an update of a user sets.
pub(crate) enum UserChange<'a> {
    /// Its name and whether it may log in; `None` leaves them.
    Profile { name: Option<&'a WireName>, status: Option<u8> },
    /// The hash of its password.
    Password(String),
    /// What it may do.
    Permissions(Option<WirePermissions>),
}

impl User {
    /// A user as stored. Permissions that cannot be read any more are none.
    fn stored(meta: UserMeta) -> Self {
        let permissions = match (meta.id, meta.permissions.as_deref()) {
            (ROOT_USER_ID, _) => Some(permission::everything()),
            (_, Some(bytes)) => WirePermissions::decode_from(bytes)
                .inspect_err(|error| tracing::error!(user = meta.name, %error, "permissions cannot be read"))
                .ok(),
            (_, None) => None,
        };
        Self { meta, permissions }
    }

    /// Whether it may log in and go on.
    pub(crate) fn is_active(&self) -> bool {
        self.meta.status == STATUS_ACTIVE
    }

    /// Whether it may do this.
    pub(crate) fn decide(&self, action: Action) -> Decision {
        permission::decide(self.permissions.as_ref(), action)
    }
}

/// All users.
pub(crate) struct Users {
    store: Arc<Store>,
    table: RwLock<Table>,
    /// Held by the one that changes users or tokens; guards the number of the next user.
    next_id: Mutex<u32>,
}

#[derive(Default)]
struct Table {
    users: Named<Arc<User>>,
    tokens: Tokens,
}

impl Users {
    /// Loads the users; the root user must be among them.
    pub(crate) fn open(store: Arc<Store>) -> Result<Self, StoreError> {
        let image = store.load_users()?;
        let mut table = Table::default();
        for meta in image.users {
            let (id, name) = (meta.id, meta.name.clone());
            table.users.insert(id, &name, Arc::new(User::stored(meta)));
        }
        table.tokens.extend(image.tokens);
        Ok(Self { store, table: RwLock::new(table), next_id: Mutex::new(image.next_user_id) })
    }

    /// The user a client calls so.
    pub(crate) fn find(&self, user_id: &WireIdentifier) -> Option<Arc<User>> {
        self.read().users.find(user_id).cloned()
    }

    /// The user with this number.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<User>> {
        self.find(&WireIdentifier::numeric(id))
    }

    /// The user with this name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<User>> {
        let table = self.read();
        let id = table.users.id_of(name)?;
        table.users.find(&WireIdentifier::numeric(id)).cloned()
    }

    /// All users, in the order of their numbers.
    pub(crate) fn list(&self) -> Vec<Arc<User>> {
        self.read().users.iter().cloned().collect()
    }

    /// Creates a user, unless there are `users_max`. Blocks on file I/O.
    pub(crate) fn create(&self, new: NewUser<'_>, users_max: usize) -> Result<Arc<User>, Refusal> {
        let mut next_id = self.change();
        self.require_free_name(new.name, None)?;
        if self.read().users.len() >= users_max {
            return Err(Code::UsersLimitReached.into());
        }
        let meta = UserMeta {
            id: *next_id,
            name: new.name.as_str().to_owned(),
            created_at_micros: steady_micros(),
            status: new.status,
            password_hash: new.password_hash,
            permissions: new.permissions.as_ref().map(|given| given.to_bytes().to_vec()),
        };
        self.store.put_user(&meta)?;
        *next_id += 1;
        Ok(self.put(User { meta, permissions: new.permissions }))
    }

    /// Changes a user. Blocks on file I/O.
    pub(crate) fn update(&self, id: u32, change: UserChange<'_>) -> Result<(), Refusal> {
        let _change = self.change();
        let mut user = User::clone(self.get(id).ok_or(Code::ResourceNotFound)?.as_ref());
        match change {
            UserChange::Profile { name, status } => {
                if let Some(name) = name {
                    self.require_free_name(name, Some(id))?;
                    name.as_str().clone_into(&mut user.meta.name);
                }
                user.meta.status = status.unwrap_or(user.meta.status);
            }
            UserChange::Password(hash) => user.meta.password_hash = hash,
            UserChange::Permissions(given) => {
                user.meta.permissions = given.as_ref().map(|given| given.to_bytes().to_vec());
                user.permissions = given;
            }
        }
        self.store.put_user(&user.meta)?;
        self.put(user);
        Ok(())
    }

    /// Deletes a user with its tokens. Its sessions end with their next request. Blocks on file I/O.
    pub(crate) fn delete(&self, id: u32) -> Result<(), Refusal> {
        let _change = self.change();
        self.store.delete_user(id)?;
        let mut table = self.write();
        table.users.remove(id);
        table.tokens.remove_all_of(id);
        Ok(())
    }

    fn put(&self, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.write().users.insert(user.meta.id, &user.meta.name, Arc::clone(&user));
        user
    }

    fn require_free_name(&self, name: &WireName, own_id: Option<u32>) -> Result<(), Refusal> {
        let owner = self.read().users.id_of(name.as_str());
        if owner.is_some() && owner != own_id {
            return Err(Code::UserAlreadyExists.into());
        }
        Ok(())
    }

    fn change(&self) -> MutexGuard<'_, u32> {
        self.next_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}
