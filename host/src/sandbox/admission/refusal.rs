//! Why a component is refused: what was found, what was expected and what to do.

use crate::compiler::CompileError;

/// Why a component is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// No bytes.
    #[error("the file is empty, expected a WebAssembly component")]
    Empty,
    /// More bytes than allowed.
    #[error(
        "the component has {found} bytes, allowed are {allowed}; build it with optimisation and without debug information, or raise `sandbox.component_bytes_max`"
    )]
    TooLarge {
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        allowed: u64,
    },
    /// Not WebAssembly in binary form.
    #[error("the file starts with {found}, expected a WebAssembly component in binary form")]
    NotWebAssembly {
        /// Its first bytes.
        found: String,
    },
    /// WebAssembly of a version that is neither a component's nor a module's, or cut within it.
    #[error("the file is WebAssembly of an unknown version, or cut; expected a component in binary form")]
    UnknownVersion,
    /// The text form.
    #[error("the file is WebAssembly text, expected the binary form; make it with `wasm-tools parse`")]
    Text,
    /// Machine code.
    #[error(
        "the file is precompiled machine code, which is never accepted; deploy the component that it was made from"
    )]
    Precompiled,
    /// A core module.
    #[error(
        "the file is a WebAssembly core module, expected a component; build for the target `wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Another version of the contract.
    #[error(
        "the component exports {found}, expected version {expected}; build it against `guesthouse:handler@{expected}`"
    )]
    OtherVersion {
        /// The export with its version.
        found: String,
        /// The version of this host.
        expected: &'static str,
    },
    /// A later version of the contract than the host serves.
    #[error(
        "the component uses {found}, which is newer than this host's version {expected}; build it against `guesthouse:handler@{expected}`, or run a newer host"
    )]
    NewerVersion {
        /// The export or import with its version.
        found: String,
        /// The version of this host.
        expected: &'static str,
    },
    /// No handler.
    #[error(
        "the component exports {found}, expected `guesthouse:handler/handler@{expected}` or `guesthouse:handler/batch@{expected}`; export one of them"
    )]
    NoHandler {
        /// What it exports instead.
        found: String,
        /// The version of this host.
        expected: &'static str,
    },
    /// The handler's function is missing or has another type.
    #[error(
        "`{export}` of the component has another type than `wit/handler.wit`: {reason}; build it against that file"
    )]
    OtherType {
        /// The interface.
        export: String,
        /// What differs.
        reason: String,
    },
    /// An import that the operator could grant and did not.
    #[error(
        "the component imports {import}, which is not granted; add `{grant}` to the handler's grants, or remove the import"
    )]
    NotGranted {
        /// The import.
        import: String,
        /// The grant that would allow it.
        grant: &'static str,
    },
    /// Imports that no grant allows.
    #[error(
        "the component imports {imports}, which no grant allows; a handler may import what standard libraries import of WASI 0.2, and by grant {grantable}: remove the rest"
    )]
    UnknownImports {
        /// The imports.
        imports: String,
        /// The interfaces that can be granted.
        grantable: String,
    },
    /// An import has another type than the host offers.
    #[error(
        "an import of the component has another type than the host offers: {reason}; build it against the WASI 0.2 and `guesthouse:handler` packages"
    )]
    OtherImportType {
        /// The linker's message.
        reason: String,
    },
    /// A limit of the handler is above what the operator allows any handler.
    #[error(
        "the handler's limit `{limit}` is {wanted}, the ceiling for all handlers is {ceiling}; lower the limit or raise the ceiling"
    )]
    AboveCeiling {
        /// The limit's name.
        limit: &'static str,
        /// What the handler asks for.
        wanted: String,
        /// The ceiling.
        ceiling: String,
    },
    /// It does not start under its limits.
    #[error("the component does not start under its limits: {outcome}")]
    DoesNotStart {
        /// What its trial start ended in.
        outcome: String,
    },
    /// Not compiled: it is not valid, made of too much, or takes more than compiling may.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The check of the component ended by itself. This is not the component's fault.
    #[error("the check of the component ended by itself; this is a fault of the host")]
    CheckStopped,
}
