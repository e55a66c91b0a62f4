//! The root user: what it is called and where its password comes from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};
use secrecy::{ExposeSecret, SecretString};

use crate::password::{self, Cost, HashError};
use crate::store::{ROOT_USER_ID, Store, StoreError, UserMeta};

/// File in the data directory that holds a generated password.
pub(crate) const PASSWORD_FILE: &str = "root.password";
/// Characters of a generated password; 62 kinds give 190 bits.
const GENERATED_CHARS: usize = 32;
/// Bounds of the protocol.
pub(crate) const USERNAME_BYTES: RangeInclusive<usize> = 3..=50;
pub(crate) const PASSWORD_BYTES: RangeInclusive<usize> = 3..=100;

/// Name and password of the broker's root user, for the program that embeds it.
#[derive(Debug, Clone)]
pub struct RootCredentials {
    /// User name.
    pub username: String,
    /// Password. Its `Debug` form shows nothing.
    pub password: SecretString,
}

impl RootCredentials {
    /// Checks the lengths that the protocol allows. `origin` says where the password came from.
    ///
    /// # Errors
    /// When the name has other than 3 to 50 bytes, or the password other than 3 to 100.
    pub fn check(&self, origin: &str) -> Result<(), CredentialsError> {
        if !USERNAME_BYTES.contains(&self.username.len()) {
            return Err(CredentialsError::Username { username: self.username.clone() });
        }
        let bytes = self.password.expose_secret().len();
        if !PASSWORD_BYTES.contains(&bytes) {
            return Err(CredentialsError::Password { origin: origin.to_owned(), bytes });
        }
        Ok(())
    }
}

/// The root user cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The configured name is too short or too long.
    #[error("root user name {username:?} has {} bytes, expected 3 to 50", username.len())]
    Username {
        /// The name.
        username: String,
    },
    /// The password is too short or too long.
    #[error("root password from {origin} has {bytes} bytes, expected 3 to 100")]
    Password {
        /// Where it came from.
        origin: String,
        /// Its length.
        bytes: usize,
    },
    /// An earlier start had a configured password and this one has none.
    #[error(
        "the root password was configured at an earlier start; configure it again, or write it to {}",
        path.display()
    )]
    Forgotten {
        /// The file that would be read.
        path: PathBuf,
    },
    /// The password file cannot be read or written.
    #[error("cannot {action} password file {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The configured name is that of another user.
    #[error("user {username:?} was created by a client and cannot be the root user; choose another name")]
    Taken {
        /// The name.
        username: String,
    },
    /// The random source or the hash function failed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// Finds the root user of this start: the configured password, else the one in the password file, else a new
/// random one, which is written there.
pub(crate) fn resolve(
    username: &str,
    configured: Option<&SecretString>,
    data_dir: &Path,
    store: &Store,
) -> Result<RootCredentials, ResolveError> {
    if !USERNAME_BYTES.contains(&username.len()) {
        return Err(CredentialsError::Username { username: username.to_owned() }.into());
    }
    let path = data_dir.join(PASSWORD_FILE);
    let (password, origin) = match configured {
        Some(password) => (password.clone(), "the configuration".to_owned()),
        None => (file_password(&path, store)?, path.display().to_string()),
    };
    let root = RootCredentials { username: username.to_owned(), password };
    root.check(&origin)?;
    Ok(root)
}

/// Stores the root user of this start, so that it is found among the users. Blocks.
pub(crate) fn enroll(root: &RootCredentials, store: &Store, cost: Cost) -> Result<(), ResolveError> {
    let users = store.load_users()?.users;
    if users.iter().any(|user| user.id != ROOT_USER_ID && user.name == root.username) {
        return Err(CredentialsError::Taken { username: root.username.clone() }.into());
    }
    let hash =
        password::hash(root.password.expose_secret().as_bytes(), cost).map_err(CredentialsError::from)?;
    let mut meta = UserMeta::root(root.username.clone(), hash);
    if let Some(known) = users.iter().find(|user| user.id == ROOT_USER_ID) {
        meta.created_at_micros = known.created_at_micros;
    }
    Ok(store.put_user(&meta)?)
}

/// Why the root user of this start cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn file_password(path: &Path, store: &Store) -> Result<SecretString, ResolveError> {
    let failed = |action| move |source| CredentialsError::File { action, path: path.to_owned(), source };
    match read_password(path) {
        Ok(password) => {
            warn_if_shared(path);
            return Ok(password);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read")(error).into()),
    }
    if store.root_user()?.is_some() {
        return Err(CredentialsError::Forgotten { path: path.to_owned() }.into());
    }
    let password = Alphanumeric.sample_string(&mut rand::rng(), GENERATED_CHARS);
    write_private(path, password.as_bytes()).map_err(failed("write"))?;
    Ok(password.into())
}

/// The password in a file, whose byte order mark and last line break do not count.
pub(crate) fn read_password(path: &Path) -> io::Result<SecretString> {
    let text = fs::read_to_string(path)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\r', '\n']).into())
}

fn warn_if_shared(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "password file can be read by other users; change its mode to 600");
    }
}

/// Writes a file that only its owner can read, whole or not at all, onto the disk.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
