//! What a component is made of, counted by its bytes alone before anything compiles it, and how much of it there
//! may be.
//!
//! The counts bound what compiling and starting can cost, and refuse parts that guests of today's toolchains do
//! not need. Whether the rest is valid is for the compiler to say.

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind,
    ComponentInstance, ComponentOuterAliasKind, Encoding, FunctionBody, Instance, Parser, Payload,
};

use crate::sandbox::text;

/// Longest name of an import or export that is kept; longer ones are cut.
const NAME_BYTES_MAX: usize = 256;

/// What a component is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Structure {
    /// Names of its imports, in their order.
    pub(crate) imports: Vec<String>,
    /// Names of its exports, in their order.
    pub(crate) exports: Vec<String>,
    /// How deep components stand in one another; 1 without any inside.
    pub(crate) nesting: u64,
    /// Components, itself included.
    pub(crate) components: u64,
    /// Core modules.
    pub(crate) modules: u64,
    /// Instances that are made of the core modules.
    pub(crate) core_instances: u64,
    /// Instances that are made of the components inside.
    pub(crate) component_instances: u64,
    /// Linear memories that the core modules define.
    pub(crate) memories: u64,
    /// Tables that the core modules define.
    pub(crate) tables: u64,
    /// Functions that the core modules define.
    pub(crate) functions: u64,
    /// Local variables of the function that has most of them.
    pub(crate) locals: u64,
    /// Bytes of the sections that fill memories.
    pub(crate) data_bytes: u64,
    /// Bytes of the sections that name functions.
    pub(crate) name_bytes: u64,
    /// Bytes of all sections that are not code, such as names and debug information.
    pub(crate) custom_bytes: u64,
}

/// A part of a component that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Imports.
    Imports,
    /// Exports.
    Exports,
    /// Levels of components inside components.
    Nesting,
    /// Levels of types inside types.
    TypeLevels,
    /// Components.
    Components,
    /// Core modules.
    Modules,
    /// Instances of core modules.
    CoreInstances,
    /// Instances of components.
    ComponentInstances,
    /// Memories.
    Memories,
    /// Memories of one core module.
    MemoriesOfModule,
    /// Tables.
    Tables,
    /// Functions.
    Functions,
    /// Local variables of one function.
    Locals,
    /// Bytes of names.
    NameBytes,
}

/// Why a component's structure is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StructureError {
    /// It cannot be read.
    #[error("the component is not valid: {reason}; build it again, and deploy the whole file")]
    Damaged {
        /// What the parser says.
        reason: String,
    },
    /// Too much of a part.
    #[error("the component has {found} {}, allowed are {allowed}; {}", .part.name(), .part.advice())]
    TooMuch {
        /// Of which part.
        part: Part,
        /// How much was found when counting stopped.
        found: u64,
        /// How much is allowed.
        allowed: u64,
    },
    /// Texts that are not UTF-8.
    #[error(
        "the component passes texts as {encoding}, expected utf8; build its bindings with `string-encoding=utf8`"
    )]
    TextEncoding {
        /// The encoding.
        encoding: String,
    },
    /// A component that is imported, exported or taken from outside.
    #[error(
        "the component hands components around as values, which is refused; put each into the component that makes an instance of it, as `wac plug` does"
    )]
    ComponentValue,
}

impl Part {
    /// How much of it a component may have. Interpreters inside components (JavaScript, Python) set the measure:
    /// up to 14 core modules, 13,400 functions, 271 locals, 5 components on 3 levels, 360 KB of names. Rust has less.
    pub(crate) const fn allowed(self) -> u64 {
        match self {
            Self::Imports | Self::Exports => 1_000,
            Self::Nesting => 4,
            Self::TypeLevels => 200,
            Self::Components | Self::ComponentInstances => 64,
            Self::Modules | Self::Memories | Self::Tables => 64,
            Self::CoreInstances => 128,
            Self::Functions => 50_000,
            Self::Locals => 5_000,
            Self::MemoriesOfModule => 1,
            Self::NameBytes => 8 << 20,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Imports => "imports",
            Self::Exports => "exports",
            Self::Nesting => "levels of components inside components",
            Self::TypeLevels => "types declared inside types",
            Self::Components => "components, itself included",
            Self::Modules => "core modules",
            Self::CoreInstances => "instances of core modules",
            Self::ComponentInstances => "instances of components",
            Self::Memories => "memories",
            Self::MemoriesOfModule => "memories in one core module",
            Self::Tables => "tables",
            Self::Functions => "functions",
            Self::Locals => "local variables in one function",
            Self::NameBytes => "bytes of names",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::NameBytes => "build it without debug information, or strip it with `wasm-tools strip`",
            Self::Functions => "build it with optimisation, or split it into several handlers",
            Self::TypeLevels => "import interfaces by their names instead",
            Self::Locals => "build it with optimisation, or split that function",
            Self::Nesting | Self::Components | Self::ComponentInstances => {
                "compose fewer components, or deploy them as handlers of their own"
            }
            Self::MemoriesOfModule => "keep to one, as compilers do by themselves",
            _ => "split it into several handlers",
        }
    }
}

impl Structure {
    /// Counts what a component is made of, and stops at the first part there is too much of.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, StructureError> {
        let mut structure = Self::default();
        let mut open = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            if let Payload::ComponentTypeSection(types) = &payload {
                allow(type_levels(bytes.get(types.range()).unwrap_or_default()), Part::TypeLevels)?;
            }
            structure.add(&payload, &mut open)?;
        }
        Ok(structure)
    }

    /// Takes in one piece. `open` counts the components and modules around it.
    fn add(&mut self, payload: &Payload<'_>, open: &mut u64) -> Result<(), StructureError> {
        match payload {
            Payload::Version { encoding, .. } => {
                *open += 1;
                match encoding {
                    Encoding::Module => count(&mut self.modules, 1, Part::Modules)?,
                    Encoding::Component => {
                        count(&mut self.components, 1, Part::Components)?;
                        self.nesting = self.nesting.max(*open);
                        allow(*open, Part::Nesting)?;
                    }
                }
            }
            Payload::End(_) => *open = open.saturating_sub(1),
            Payload::CodeSectionEntry(body) => self.add_function(body)?,
            Payload::MemorySection(memories) => {
                allow(memories.count().into(), Part::MemoriesOfModule)?;
                count(&mut self.memories, memories.count().into(), Part::Memories)?;
            }
            Payload::TableSection(tables) => count(&mut self.tables, tables.count().into(), Part::Tables)?,
            Payload::DataSection(data) => self.data_bytes += data.range().len() as u64,
            Payload::CustomSection(section) => {
                let bytes = section.data().len() as u64;
                self.custom_bytes += bytes;
                if section.name() == "name" {
                    count(&mut self.name_bytes, bytes, Part::NameBytes)?;
                }
            }
            payload => self.add_of_component(payload, *open)?,
        }
        Ok(())
    }

    /// Takes in a section that only components have.
    fn add_of_component(&mut self, payload: &Payload<'_>, open: u64) -> Result<(), StructureError> {
        match payload {
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { .. } = instance? {
                        count(&mut self.core_instances, 1, Part::CoreInstances)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    if let ComponentInstance::Instantiate { .. } = instance? {
                        count(&mut self.component_instances, 1, Part::ComponentInstances)?;
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                functions.clone().into_iter().try_for_each(|function| check_texts(&function?))?;
            }
            Payload::ComponentAliasSection(aliases) => {
                aliases.clone().into_iter().try_for_each(|alias| check_alias(&alias?))?;
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    let import = import?;
                    refuse_component(import.ty.kind())?;
                    self.imports.extend((open == 1).then(|| text::shown(import.name.name, NAME_BYTES_MAX)));
                    allow(self.imports.len() as u64, Part::Imports)?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    refuse_component(export.kind)?;
                    self.exports.extend((open == 1).then(|| text::shown(export.name.name, NAME_BYTES_MAX)));
                    allow(self.exports.len() as u64, Part::Exports)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<(), StructureError> {
        count(&mut self.functions, 1, Part::Functions)?;
        let mut locals: u64 = 0;
        for declared in body.get_locals_reader()? {
            let (same, _) = declared?;
            locals = locals.saturating_add(same.into());
        }
        self.locals = self.locals.max(locals);
        allow(locals, Part::Locals)
    }
}

impl From<BinaryReaderError> for StructureError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged { reason: text::reason(&error.to_string()) }
    }
}

/// An upper bound of how deep types are declared inside types, for which the compiler takes a stack frame per level:
/// each level but the first begins with the tag of a declaration and the code of a component's or an instance's type.
fn type_levels(section: &[u8]) -> u64 {
    let opens_level = |pair: &&[u8]| matches!(pair, [0x01, 0x41 | 0x42]);
    1 + section.windows(2).filter(opens_level).count() as u64
}

fn count(counter: &mut u64, more: u64, part: Part) -> Result<(), StructureError> {
    *counter += more;
    allow(*counter, part)
}

fn allow(found: u64, part: Part) -> Result<(), StructureError> {
    let allowed = part.allowed();
    if found > allowed { Err(StructureError::TooMuch { part, found, allowed }) } else { Ok(()) }
}

/// The ways from one encoding of texts to another have been a source of engine bugs.
fn check_texts(function: &CanonicalFunction) -> Result<(), StructureError> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) = function
    else {
        return Ok(());
    };
    for option in options {
        let encoding = match option {
            CanonicalOption::UTF16 => "utf16",
            CanonicalOption::CompactUTF16 => "latin1+utf16",
            _ => continue,
        };
        return Err(StructureError::TextEncoding { encoding: encoding.to_owned() });
    }
    Ok(())
}

/// With components as values a few hundred bytes can ask for billions of instances.
fn check_alias(alias: &ComponentAlias<'_>) -> Result<(), StructureError> {
    match alias {
        ComponentAlias::InstanceExport { kind, .. } => refuse_component(*kind),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } => {
            Err(StructureError::ComponentValue)
        }
        ComponentAlias::Outer { .. } | ComponentAlias::CoreInstanceExport { .. } => Ok(()),
    }
}

fn refuse_component(kind: ComponentExternalKind) -> Result<(), StructureError> {
    if kind == ComponentExternalKind::Component { Err(StructureError::ComponentValue) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
