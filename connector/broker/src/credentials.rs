//! The root user: where the password comes from, and how a login is checked. A check costs the same whether or
//! not the user exists, and checks run one after another, so that guessing is slow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::store::{Store, StoreError, StoredCredentials};

/// File in the data directory that holds a generated password.
pub(crate) const PASSWORD_FILE: &str = "root.password";
/// Characters of a generated password; 62 kinds give 190 bits.
const GENERATED_CHARS: usize = 32;
const SALT_BYTES: usize = 16;
/// Bounds of the protocol.
const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=50;
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 3..=100;
/// Cost of one check: 12 MiB and two passes, about 10 ms.
const MEMORY_KIB: u32 = 12 * 1024;
const PASSES: u32 = 2;

/// Name and password of the broker's only user, for the program that embeds it.
#[derive(Debug, Clone)]
pub struct RootCredentials {
    /// User name.
    pub username: String,
    /// Password. Its `Debug` form shows nothing.
    pub password: SecretString,
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
    /// The random source or the hash function failed.
    #[error("cannot hash the root password: {0}")]
    Hash(String),
}

/// Checks logins.
pub(crate) struct Gate {
    username: String,
    hash: PasswordHash,
    turn: Semaphore,
}

/// What a login turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Welcome,
    Wrong,
}

impl Gate {
    /// A gate for this user.
    pub(crate) fn new(root: &RootCredentials) -> Result<Self, CredentialsError> {
        let salt: [u8; SALT_BYTES] = rand::random();
        let password = root.password.expose_secret().as_bytes();
        let hash: PasswordHash = hasher()?
            .hash_password_with_salt(password, &salt)
            .map_err(|error| CredentialsError::Hash(error.to_string()))?;
        Ok(Self { username: root.username.clone(), hash, turn: Semaphore::new(1) })
    }

    /// The user in the form the store keeps.
    pub(crate) fn stored(&self) -> StoredCredentials {
        StoredCredentials { username: self.username.clone(), password_hash: self.hash.to_string() }
    }

    /// Checks a login. Waits for its turn behind other logins; cancelling forgets the login.
    pub(crate) async fn check(&self, username: &str, password: &SecretString) -> Verdict {
        let Ok(_turn) = self.turn.acquire().await else { return Verdict::Wrong };
        let matches = tokio::task::block_in_place(|| self.password_matches(password));
        if matches && username == self.username { Verdict::Welcome } else { Verdict::Wrong }
    }

    fn password_matches(&self, password: &SecretString) -> bool {
        // The costs come from the hash.
        Argon2::default().verify_password(password.expose_secret().as_bytes(), &self.hash).is_ok()
    }
}

fn hasher() -> Result<Argon2<'static>, CredentialsError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .map_err(|error| CredentialsError::Hash(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Finds the root user of this start: the configured password, else the one in the password file, else a new
/// random one, which is written there.
pub(crate) fn resolve(
    username: &str,
    configured: Option<&SecretString>,
    data_dir: &Path,
    store: &Store,
) -> Result<RootCredentials, ResolveError> {
    if !USERNAME_CHARS.contains(&username.len()) {
        return Err(CredentialsError::Username { username: username.to_owned() }.into());
    }
    let path = data_dir.join(PASSWORD_FILE);
    let (password, origin) = match configured {
        Some(password) => (password.clone(), "the configuration".to_owned()),
        None => (file_password(&path, store)?, path.display().to_string()),
    };
    let bytes = password.expose_secret().len();
    if !PASSWORD_BYTES.contains(&bytes) {
        return Err(CredentialsError::Password { origin, bytes }.into());
    }
    Ok(RootCredentials { username: username.to_owned(), password })
}

/// Why [`resolve`] failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn file_password(path: &Path, store: &Store) -> Result<SecretString, ResolveError> {
    let failed = |action| move |source| CredentialsError::File { action, path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            warn_if_shared(path);
            return Ok(text.trim_end_matches(['\r', '\n']).into());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read")(error).into()),
    }
    if store.root_credentials()?.is_some() {
        return Err(CredentialsError::Forgotten { path: path.to_owned() }.into());
    }
    let password = Alphanumeric.sample_string(&mut rand::rng(), GENERATED_CHARS);
    write_private(path, password.as_bytes()).map_err(failed("write"))?;
    Ok(password.into())
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
