//! The root user while the broker runs: its password changes with the file that it comes from.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tokio::task::block_in_place;

use crate::credentials::{RootCredentials, read_password};
use crate::password::Gate;
use crate::user::{ROOT_USER_ID, UserChange, Users};
use crate::wire::in_one_line;

/// The root user.
#[derive(Debug)]
pub(crate) struct Root {
    username: String,
    file: Option<PathBuf>,
    known: Mutex<Known>,
    /// Held by the one that takes a new password over, which takes the time of a hash.
    change: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    password: SecretString,
    /// Why the file could not be used the last time.
    trouble: Option<String>,
}

impl Root {
    /// The root user of this start, and the file that says what its password is later on.
    pub(crate) fn new(credentials: &RootCredentials, file: Option<PathBuf>) -> Self {
        let known = Known { password: credentials.password.clone(), trouble: None };
        Self {
            username: credentials.username.clone(),
            file,
            known: Mutex::new(known),
            change: tokio::sync::Mutex::default(),
        }
    }

    /// The file that says what the password is.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Takes over the password in the file, if it is another one than the last. A file that cannot be read, or holds
    /// nothing that could be a password, leaves the password as it was, which the log tells once for each reason. Blocks on
    /// a small file, and waits for a hash when the password changed. Cancelling leaves it as it was.
    pub(crate) async fn refresh(&self, users: &Users, gate: &Gate) {
        if self.file.is_none() {
            return;
        }
        let _change = self.change.lock().await;
        let Some(password) = block_in_place(|| self.changed()) else { return };
        let hash = match gate.hash(password.expose_secret()).await {
            Ok(hash) => hash,
            Err(error) => {
                self.note_trouble(error.to_string());
                return;
            }
        };
        match block_in_place(|| users.update(ROOT_USER_ID, UserChange::Password(hash))) {
            Ok(()) => {
                *self.known() = Known { password, trouble: None };
                tracing::info!(
                    username = self.username,
                    "the password of the root user was changed by its file"
                );
            }
            Err(error) => self.note_trouble(in_one_line(&error)),
        }
    }

    /// What the file says, if that is a password and another one than the last.
    fn changed(&self) -> Option<SecretString> {
        let file = self.file.as_deref()?;
        match self.usable(file) {
            Ok(password) => {
                let mut known = self.known();
                known.trouble = None;
                let is_same = password.expose_secret() == known.password.expose_secret();
                (!is_same).then_some(password)
            }
            Err(trouble) => {
                self.note_trouble(trouble);
                None
            }
        }
    }

    fn usable(&self, file: &Path) -> Result<SecretString, String> {
        let origin = file.display().to_string();
        let password = read_password(file).map_err(|error| format!("cannot read {origin}: {error}"))?;
        let root = RootCredentials { username: self.username.clone(), password };
        root.check(&origin).map_err(|error| error.to_string())?;
        // A start that strangers can reach refuses it as well.
        if root.password.expose_secret() == self.username {
            return Err(format!("{origin} holds the name of the root user, which is no password"));
        }
        Ok(root.password)
    }

    fn note_trouble(&self, trouble: String) {
        let mut known = self.known();
        if known.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(trouble, "the root user's password stays what it was");
        }
        known.trouble = Some(trouble);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // It is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
