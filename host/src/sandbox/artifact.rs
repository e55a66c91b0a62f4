//! An artifact: the machine code of a component, and what the component is made of.
//!
//! Machine code is run without any check of its own, so an artifact comes from nowhere but [`Artifact::make`]: in
//! this process, in a compiling process of ours, or in the cache that holds what these made.

use serde::{Deserialize, Serialize};
use wasmtime::Error;
use wasmtime::component::Component;

use crate::sandbox::admission::{Structure, StructureError};
use crate::sandbox::engine::{self, Engines, MemoryInit};
use crate::sandbox::text;

/// What stands before the counts in the bytes of an artifact.
const LENGTH_BYTES: usize = size_of::<u32>();

/// The machine code of a component, and what the component is made of.
pub(crate) struct Artifact {
    structure: Structure,
    code: Vec<u8>,
}

/// Why no artifact is made of a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ArtifactRefusal {
    /// It is made of too much, or of what is never accepted.
    #[error(transparent)]
    Structure(StructureError),
    /// Damaged, or in need of a feature that is switched off.
    #[error(
        "the component is not valid: {reason}; build it again, and without proposals beyond WebAssembly 2.0"
    )]
    Invalid {
        /// The compiler's message.
        reason: String,
    },
    /// The compiler got no memory.
    #[error(
        "there was no memory to compile the component; give the host more, or build the component smaller"
    )]
    OutOfMemory,
}

impl Artifact {
    /// Counts and compiles a component.
    ///
    /// # Errors
    /// When it is made of too much, not valid, or there is no memory.
    pub(crate) fn make(component: &[u8]) -> Result<Self, ArtifactRefusal> {
        let structure = Structure::of(component).map_err(ArtifactRefusal::Structure)?;
        let engine = engine::engine(MemoryInit::of(structure.data_bytes));
        let compiled = engine.and_then(|engine| engine.precompile_component(component));
        let code = compiled.map_err(|error| match is_out_of_memory(&error) {
            true => ArtifactRefusal::OutOfMemory,
            false => ArtifactRefusal::Invalid { reason: text::reason(&format!("{error:#}")) },
        })?;
        Ok(Self { structure, code })
    }

    /// As one row of bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Numbers and texts only: there is nothing in it that could not be written.
        let structure = serde_json::to_vec(&self.structure).unwrap_or_default();
        let length = u32::try_from(structure.len()).unwrap_or_default();
        [&length.to_le_bytes(), structure.as_slice(), self.code.as_slice()].concat()
    }

    /// Reads what [`Artifact::to_bytes`] wrote. The caller vouches for the bytes: they come from a compiling process
    /// of ours or from the cache.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (structure, code) = rest.split_at_checked(length)?;
        Some(Self { structure: serde_json::from_slice(structure).ok()?, code: code.to_vec() })
    }

    /// What the component is made of.
    pub(super) fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Makes the machine code ready to run.
    ///
    /// # Errors
    /// When it was made by another version of the engine, or for another kind of machine.
    #[expect(unsafe_code, reason = "machine code cannot be checked; it is our own compiler's")]
    pub(super) fn load(&self, engines: &Engines) -> wasmtime::Result<Component> {
        let engine = engines.of(MemoryInit::of(self.structure.data_bytes));
        // SAFETY: the bytes are what `Engine::precompile_component` returned: in this process, in a compiling
        // process that we started, or before they were put into the cache, whose keyed hash was checked since.
        unsafe { Component::deserialize(engine, &self.code) }
    }
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code_bytes = self.code.len();
        f.debug_struct("Artifact")
            .field("structure", &self.structure)
            .field("code_bytes", &code_bytes)
            .finish()
    }
}

fn is_out_of_memory(error: &Error) -> bool {
    let io_error = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::OutOfMemory)
    };
    let system_error = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<rustix::io::Errno>().is_some_and(|errno| *errno == rustix::io::Errno::NOMEM)
    };
    error.is::<wasmtime::error::OutOfMemory>()
        || error.chain().any(|cause| io_error(cause) || system_error(cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::fixtures::{component, types_in_types};

    fn made(text: &str) -> Result<Artifact, String> {
        Artifact::make(&component(text)).map_err(|refusal| refusal.to_string())
    }

    fn chain(types: usize, next: impl Fn(usize) -> String) -> String {
        (1..types).map(|number| format!("(type $t{number} {})", next(number - 1))).collect()
    }

    #[test]
    fn types_that_stand_for_more_than_can_be_held_are_refused() {
        let records = chain(5_000, |before| format!(r#"(record (field "a" $t{before}))"#));
        let tuples = chain(60, |before| format!("(tuple $t{before} $t{before})"));
        for (types, expected) in
            [(records, "type nesting is too deep"), (tuples, "type size exceeds the limit")]
        {
            let refusal = made(&format!("(component (type $t0 u8) {types})")).unwrap_err();
            assert!(
                refusal.starts_with("the component is not valid") && refusal.contains(expected),
                "{refusal}"
            );
        }
    }

    #[test]
    fn what_is_nested_as_deep_as_allowed_compiles_on_an_ordinary_stack() {
        Artifact::make(&types_in_types(199)).unwrap();
        for (opening, closing) in [("block ", "end "), ("loop ", "end "), ("local.get 0 if ", "end ")] {
            let (opening, closing) = (opening.repeat(3_000), closing.repeat(3_000));
            made(&format!("(component (core module (func (param i32) {opening}{closing})))")).unwrap();
        }
        let (values, sums) = ("i32.const 1 ".repeat(20_000), "i32.add ".repeat(19_999));
        made(&format!("(component (core module (func (result i32) {values}{sums})))")).unwrap();
    }

    #[test]
    fn bytes_that_are_no_artifact_are_not_taken_for_one() {
        let artifact = made("(component)").unwrap();
        let bytes = artifact.to_bytes();
        assert_eq!(Artifact::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        let header = LENGTH_BYTES + serde_json::to_vec(artifact.structure()).unwrap().len();
        assert!((0..header).all(|end| Artifact::from_bytes(&bytes[..end]).is_none()));
        assert!(Artifact::from_bytes(&[0xff; 64]).is_none());
    }
}
