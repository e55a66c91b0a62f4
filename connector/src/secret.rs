//! A secret that goes with a login: a fixed one, or one of a file that is read again before each login.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

/// The most bytes of a user name, a password or a token; a login carries their lengths in one byte each.
pub(crate) const CREDENTIAL_BYTES_MAX: usize = 255;

/// A password or a token.
#[derive(Debug)]
pub(crate) struct Secret {
    known: Mutex<Known>,
    file: Option<PathBuf>,
}

#[derive(Debug)]
struct Known {
    value: SecretString,
    /// Why the file could not be read the last time.
    trouble: Option<String>,
}

impl Secret {
    /// One that is known, and the file, if any, that says what it is later on.
    pub(crate) fn new(secret: SecretString, file: Option<PathBuf>) -> Self {
        Self { known: Mutex::new(Known { value: secret, trouble: None }), file }
    }

    /// Whether it may change, so that reading it takes a file.
    pub(crate) const fn is_of_a_file(&self) -> bool {
        self.file.is_some()
    }

    /// What it is now. A file that cannot be read, or holds nothing that could be one, leaves it as it was, and says so
    /// once for each reason. Blocks for a file.
    pub(crate) fn current(&self) -> SecretString {
        let read = self.file.as_deref().map(read);
        let mut known = self.known();
        match read {
            None => {}
            Some(Ok(secret)) => *known = Known { value: secret, trouble: None },
            Some(Err(trouble)) => {
                if known.trouble.as_ref() != Some(&trouble) {
                    warn!("{trouble}; the secret that was read before is used");
                }
                known.trouble = Some(trouble);
            }
        }
        known.value.clone()
    }

    /// What it was last.
    pub(crate) fn known_last(&self) -> SecretString {
        self.known().value.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // It is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secret of a file, whose byte order mark and last line break do not count.
fn read(file: &Path) -> Result<SecretString, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read the secret for the broker from {shown}: {error}"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let secret = SecretString::from(text.trim_end_matches(['\n', '\r']));
    match secret.expose_secret().len() {
        1..=CREDENTIAL_BYTES_MAX => Ok(secret),
        bytes => Err(format!(
            "the secret for the broker in {shown} is {bytes} bytes long, expected 1 to {CREDENTIAL_BYTES_MAX}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time_and_what_it_cannot_say_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        let secret = Secret::new("first".into(), Some(file.clone()));
        assert_eq!(secret.current().expose_secret(), "first", "there is no file yet");
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(secret.known_last().expose_secret(), "first");
        assert_eq!(secret.current().expose_secret(), "second");
        std::fs::write(&file, "").unwrap();
        assert_eq!(secret.current().expose_secret(), "second", "an empty one is being written");
        assert!(secret.is_of_a_file() && !format!("{secret:?}").contains("second"));
        assert_eq!(Secret::new("fixed".into(), None).current().expose_secret(), "fixed");
    }
}
