//! The code of components: taken from where it is already loaded, from the cache, or from the compiler.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::component::Component;

use crate::compiler::{self, CompileError, CompileSettings};
use crate::mender::Mend;
use crate::sandbox::admission::{self, AdmissionError, Structure};
use crate::sandbox::artifact::Artifact;
use crate::sandbox::cache::{Cache, CacheSettings, CodeFor};
use crate::sandbox::engine::{Engines, MemoryInit};
use crate::sandbox::{GuestSpec, SandboxSettings};
use crate::trouble::{About, Troubles, Watch};

/// A component's code, ready to make guests of. Handlers of the same component share it.
pub(super) struct Code {
    pub(super) component: Component,
    pub(super) structure: Structure,
    pub(super) digest: blake3::Hash,
    pub(super) size_bytes: u64,
}

/// Where code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeSource {
    /// Another handler has the same component.
    Shared,
    /// It was compiled by an earlier run.
    Cache,
    /// It was compiled now.
    Compiler,
}

/// All code of a host.
pub(super) struct Codes {
    inner: Arc<Inner>,
    /// One compilation at a time: it is not what a host is for.
    turns: Semaphore,
}

struct Inner {
    engines: Engines,
    component_bytes_max: u64,
    compile: CompileSettings,
    cache_settings: Option<CacheSettings>,
    /// Opened when it is first needed; nothing while it cannot be used.
    cache: Mutex<Option<Arc<Cache>>>,
    watch: Watch,
    loaded: Mutex<HashMap<blake3::Hash, Weak<Code>>>,
}

impl Code {
    /// Compiles a component in this process.
    #[cfg(test)]
    pub(super) fn compiled_here(
        engines: &Engines,
        bytes: &[u8],
    ) -> Result<Self, crate::sandbox::ArtifactRefusal> {
        let artifact = Artifact::make(bytes)?;
        let component = artifact.load(engines).expect("it was made just now, by the same engine");
        let (structure, size_bytes) = (artifact.structure().clone(), bytes.len() as u64);
        Ok(Self { component, structure, digest: blake3::hash(bytes), size_bytes })
    }
}

impl Code {
    /// How memories of its guests get their data.
    pub(super) const fn memory_init(&self) -> MemoryInit {
        MemoryInit::of(self.structure.data_bytes)
    }
}

impl CodeSource {
    /// A word for it in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Cache => "cache",
            Self::Compiler => "compiler",
        }
    }
}

impl Codes {
    /// Nothing loaded yet. Without a cache that can be used, everything is compiled.
    pub(super) fn new(engines: &Engines, settings: &SandboxSettings, troubles: &Troubles) -> Self {
        let dir = settings.cache.as_ref().map(|cache| cache.dir.display().to_string()).unwrap_or_default();
        let about = About {
            cause: "cache_unwritable",
            subject: format!("the cache of compiled code in {dir}"),
            consequence: "components are compiled at every start until it can be written",
        };
        let inner = Inner {
            engines: engines.clone(),
            component_bytes_max: settings.component_bytes_max,
            compile: settings.compile.clone(),
            cache_settings: settings.cache.clone(),
            cache: Mutex::default(),
            watch: troubles.watch(about),
            loaded: Mutex::default(),
        };
        Self { inner: Arc::new(inner), turns: Semaphore::new(1) }
    }

    /// What somebody must look after.
    pub(super) fn to_mend(&self) -> Arc<dyn Mend> {
        Arc::clone(&self.inner) as Arc<dyn Mend>
    }

    /// The code of a component, for a handler.
    ///
    /// Waits for files, and for its turn to compile and for the compiler, as long as the settings of compiling
    /// allow. Cancelling gives up the turn, and ends the compiling process.
    ///
    /// # Errors
    /// When the bytes are no component, or the compiler refuses them or takes too much.
    pub(super) async fn get(&self, spec: &GuestSpec, bytes: Bytes) -> Result<Found, AdmissionError> {
        admission::check_form(&bytes, self.inner.component_bytes_max)?;
        let (wanted, found) = self.find(spec.clone(), bytes).await?;
        if let Some(found) = found {
            return Ok(found);
        }
        // Never closed, so there is always a permit to come.
        let _turn = self.turns.acquire().await;
        // Meanwhile another handler may have compiled it.
        if let Some(code) = self.inner.shared(&wanted.digest) {
            return Ok((code, CodeSource::Shared));
        }
        let artifact = compiler::compile(&self.inner.compile, wanted.bytes.clone()).await?;
        let inner = Arc::clone(&self.inner);
        let code = blocking(move || inner.keep(&wanted, &artifact)).await??;
        Ok((code, CodeSource::Compiler))
    }

    async fn find(&self, spec: GuestSpec, bytes: Bytes) -> Result<(Wanted, Option<Found>), CompileError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let wanted = Wanted { spec, digest: blake3::hash(&bytes), bytes };
            let found = inner.find(&wanted);
            (wanted, found)
        })
        .await
    }
}

/// Code, and where it came from.
type Found = (Arc<Code>, CodeSource);

/// A component and what its code is wanted for.
struct Wanted {
    spec: GuestSpec,
    bytes: Bytes,
    digest: blake3::Hash,
}

impl Wanted {
    fn code_for(&self) -> CodeFor<'_> {
        CodeFor { component: &self.digest, handler: &self.spec.handler, tenants: &self.spec.tenants }
    }

    fn code(&self, component: Component, artifact: &Artifact) -> Code {
        let (structure, size_bytes) = (artifact.structure().clone(), self.bytes.len() as u64);
        Code { component, structure, digest: self.digest, size_bytes }
    }
}

impl Inner {
    fn find(&self, wanted: &Wanted) -> Option<Found> {
        if let Some(code) = self.shared(&wanted.digest) {
            return Some((code, CodeSource::Shared));
        }
        let artifact = self.cache()?.read(&wanted.code_for())?;
        match artifact.load(&self.engines) {
            Ok(component) => Some((self.share(wanted.code(component, &artifact)), CodeSource::Cache)),
            Err(error) => {
                tracing::warn!(handler = %wanted.spec.handler, error = format!("{error:#}"), "compiled code of the cache does not load and is made again");
                None
            }
        }
    }

    /// Loads what was compiled, and keeps it for others and for the next start.
    fn keep(&self, wanted: &Wanted, artifact: &Artifact) -> Result<Arc<Code>, CompileError> {
        let component = artifact
            .load(&self.engines)
            .map_err(|error| CompileError::OtherEngine { reason: format!("{error:#}") })?;
        if let Some(cache) = self.cache() {
            match cache.write(&wanted.code_for(), artifact) {
                Ok(()) => self.watch.works(),
                Err(error) => self.watch.fails(&error),
            }
        }
        Ok(self.share(wanted.code(component, artifact)))
    }

    /// The cache, opened when it was not yet. One that cannot be opened is the mender's.
    fn cache(&self) -> Option<Arc<Cache>> {
        if self.watch.is_failing() {
            return self.lock_cache().clone();
        }
        self.open_cache()
    }

    fn open_cache(&self) -> Option<Arc<Cache>> {
        let settings = self.cache_settings.as_ref()?;
        let mut cache = self.lock_cache();
        if cache.is_none() {
            match Cache::open(settings, &self.engines) {
                Ok(opened) => *cache = Some(Arc::new(opened)),
                Err(error) => self.watch.fails(&error),
            }
        }
        cache.clone()
    }

    fn lock_cache(&self) -> MutexGuard<'_, Option<Arc<Cache>>> {
        // It is set as a whole.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self, digest: &blake3::Hash) -> Option<Arc<Code>> {
        self.lock().get(digest)?.upgrade()
    }

    fn share(&self, code: Code) -> Arc<Code> {
        let code = Arc::new(code);
        let mut loaded = self.lock();
        if loaded.len() == loaded.capacity() {
            // Before it grows; what is gone is looked for no oftener than that.
            loaded.retain(|_, code| code.strong_count() > 0);
        }
        loaded.insert(code.digest, Arc::downgrade(&code));
        code
    }

    /// The map is whole between its methods, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Weak<Code>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mend for Inner {
    fn is_failing(&self) -> bool {
        self.watch.is_failing()
    }

    fn mend(&self) {
        let Some(cache) = self.open_cache() else { return };
        match cache.prove() {
            Ok(()) => self.watch.works(),
            Err(error) => self.watch.fails(&error),
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codes").field("cache", &self.cache_settings).finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CompileError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|_| CompileError::Stopped { how: "loading its code panicked".to_owned() })
}
