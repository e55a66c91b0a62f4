//! One file of the cache: the engine that its code was made by, a keyed hash, and the code.

use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::key::Key;
use crate::handler::HandlerName;
use crate::route::TenantScope;
use crate::sandbox::artifact::Artifact;
use crate::sandbox::engine::Engines;

/// The context of the keyed hash. It changes with the form of the file.
const FILES: &[u8] = b"guesthouse cache: file 1";

type Digest = [u8; blake3::OUT_LEN];

/// What code was made of and for.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct CodeFor<'a> {
    /// Hash of the component.
    pub(in crate::sandbox) component: &'a blake3::Hash,
    /// The handler.
    pub(in crate::sandbox) handler: &'a HandlerName,
    /// Whose events it gets.
    pub(in crate::sandbox) tenants: &'a TenantScope,
}

/// Why a file is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It was made by another engine: another version, other settings, another kind of machine.
    OtherEngine,
    /// It is not what was written here for this.
    Altered,
}

/// A file before it is written.
pub(super) struct Header {
    engine: Digest,
    hash: Digest,
    code: Vec<u8>,
}

impl Header {
    /// The file for some code.
    pub(super) fn new(key: &Key, engine: &Digest, code_for: &CodeFor<'_>, artifact: &Artifact) -> Self {
        let code = artifact.to_bytes();
        let hash = *keyed_hash(key, engine, code_for, &code).as_bytes();
        Self { engine: *engine, hash, code }
    }

    /// Its length.
    pub(super) fn len(&self) -> u64 {
        (self.engine.len() + self.hash.len() + self.code.len()) as u64
    }

    /// Writes it, down to the disk.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&self.engine)?;
        file.write_all(&self.hash)?;
        file.write_all(&self.code)?;
        file.sync_all()
    }
}

impl CodeFor<'_> {
    /// Adds it to a hash, so that no two differ in meaning and not in bytes.
    pub(super) fn add_to(&self, hasher: &mut blake3::Hasher) {
        hasher.update(self.component.as_bytes());
        add_text(hasher, self.handler.as_str());
        match self.tenants {
            TenantScope::All => hasher.update(&[0]),
            TenantScope::Platform => hasher.update(&[1]),
            TenantScope::Only(tenants) => hasher.update(&[2]).update(&(tenants.len() as u64).to_le_bytes()),
        };
        if let TenantScope::Only(tenants) = self.tenants {
            tenants.iter().for_each(|tenant| add_text(hasher, tenant));
        }
    }
}

/// All of a file, if it is no longer than the whole cache may be.
pub(super) fn read(file: &mut File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > bytes_max {
        return Err(io::Error::other("it is larger than the cache may be"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The code of a file, if the file is what was written for this by a host with this key and engine.
pub(super) fn open(
    bytes: &[u8],
    key: &Key,
    engine: &Digest,
    code_for: &CodeFor<'_>,
) -> Result<Artifact, Mismatch> {
    let (made_by, rest) = bytes.split_first_chunk::<{ blake3::OUT_LEN }>().ok_or(Mismatch::Altered)?;
    let (hash, code) = rest.split_first_chunk::<{ blake3::OUT_LEN }>().ok_or(Mismatch::Altered)?;
    if made_by != engine {
        return Err(Mismatch::OtherEngine);
    }
    // Hashes of this type are compared in constant time.
    if keyed_hash(key, engine, code_for, code) != blake3::Hash::from_bytes(*hash) {
        return Err(Mismatch::Altered);
    }
    Artifact::from_bytes(code).ok_or(Mismatch::Altered)
}

/// What tells engines apart that cannot run each other's code.
pub(super) fn fingerprint(engines: &Engines) -> Digest {
    let mut hasher = Fingerprint(blake3::Hasher::new());
    engines.copied.precompile_compatibility_hash().hash(&mut hasher);
    engines.mapped.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    *hasher.0.finalize().as_bytes()
}

fn keyed_hash(key: &Key, engine: &Digest, code_for: &CodeFor<'_>, code: &[u8]) -> blake3::Hash {
    let mut hasher = key.hasher();
    hasher.update(FILES).update(engine);
    code_for.add_to(&mut hasher);
    // Last, and the only part without a length of its own.
    hasher.update(code);
    hasher.finalize()
}

fn add_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

/// Hashes by blake3 what can be hashed.
struct Fingerprint(blake3::Hasher);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}
