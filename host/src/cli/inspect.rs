//! `guesthouse inspect`: says what a component is, what it asks for, and whether it would be admitted.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use serde::Serialize;

use super::Console;
use crate::handler::HandlerName;
use crate::sandbox::{
    AdmissionError, GuestLimits, Import, ImportNeed, Inspection, Sandbox, SandboxSettings, Structure,
};

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The component cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the component {}", path.display())]
pub(super) struct ComponentUnreadable {
    path: PathBuf,
    source: std::io::Error,
}

/// The component would be refused, whatever it is granted.
#[derive(Debug, thiserror::Error)]
#[error("the component would be refused; see above")]
pub(super) struct ComponentRefused;

/// What is printed, in the names of its JSON form.
#[derive(Serialize)]
struct Findings<'a> {
    size_bytes: u64,
    digest: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    world: Option<&'static str>,
    init: Option<bool>,
    contract: &'static str,
    grants: Vec<&'static str>,
    imports: &'a [Import],
    exports: &'a [String],
    start: Option<Start>,
    structure: Option<Counts>,
}

#[derive(Serialize)]
struct Start {
    time_micros: u64,
    memory_bytes: u64,
}

/// The structure without the names, which stand beside it.
#[derive(Serialize)]
struct Counts {
    functions: u64,
    has_names: bool,
    modules: u64,
    memories: u64,
    tables: u64,
    components: u64,
    nesting: u64,
    custom_bytes: u64,
}

pub(super) async fn inspect(args: InspectArgs, console: &mut Console<'_>) -> anyhow::Result<()> {
    let path = args.component;
    let bytes = tokio::fs::read(&path).await.map_err(|source| ComponentUnreadable { path, source })?;
    let bytes = Bytes::from(bytes);
    let name = HandlerName::new("inspected").context("the name of the inspected handler")?;
    let sandbox = Sandbox::start(&SandboxSettings::default())?;
    let inspection = sandbox.inspect(name, bytes.clone()).await;
    let findings = Findings::of(&inspection, &bytes);
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &findings)?;
        writeln!(console.out)?;
    } else {
        findings.print(console.out)?;
    }
    let admitted = inspection.verdict.is_ok();
    drop(inspection);
    sandbox.shutdown();
    if admitted { Ok(()) } else { Err(ComponentRefused.into()) }
}

impl<'a> Findings<'a> {
    fn of(inspection: &'a Inspection, bytes: &[u8]) -> Self {
        let admitted = inspection.verdict.as_ref().ok();
        Self {
            size_bytes: bytes.len() as u64,
            digest: format!("blake3:{}", blake3::hash(bytes).to_hex()),
            verdict: if admitted.is_some() { "admitted" } else { "refused" },
            reason: inspection.verdict.as_ref().err().map(reason),
            world: admitted.map(|component| component.world().as_str()),
            init: admitted.map(|component| component.has_init()),
            contract: crate::sandbox::CONTRACT_VERSION,
            grants: inspection.grants(),
            imports: &inspection.imports,
            exports: &inspection.exports,
            start: admitted.map(|component| Start {
                time_micros: u64::try_from(component.start_time().as_micros()).unwrap_or(u64::MAX),
                memory_bytes: component.start_memory_bytes(),
            }),
            structure: inspection.structure.as_ref().map(Counts::of),
        }
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "size      {} bytes", self.size_bytes)?;
        writeln!(out, "digest    {}", self.digest)?;
        writeln!(out, "world     {}", self.world.unwrap_or("unknown"))?;
        if self.init == Some(true) {
            writeln!(out, "init      guests get ready before their first event")?;
        }
        writeln!(out, "contract  this host serves guesthouse:handler@{}", self.contract)?;
        if let Some(start) = &self.start {
            let GuestLimits { deadline, memory_bytes_max, .. } = GuestLimits::default();
            let [memory, memory_max] = [start.memory_bytes, memory_bytes_max].map(bytesize::ByteSize::b);
            writeln!(out, "start     {} µs of a deadline of {deadline:?} by default", start.time_micros)?;
            writeln!(out, "          {memory} of memory of {memory_max} by default")?;
        }
        if let Some(counts) = &self.structure {
            counts.print(out)?;
        }
        print_list(out, "exports", self.exports.iter().map(|export| (export.as_str(), String::new())))?;
        let imports = self.imports.iter().map(|import| (import.name.as_str(), needs(import.needs)));
        print_list(out, "imports", imports)?;
        match &self.reason {
            Some(reason) => writeln!(out, "\nrefused: {reason}"),
            None if self.grants.is_empty() => writeln!(out, "\nadmitted without any grant"),
            None => writeln!(out, "\nadmitted with `grants: [{}]`", self.grants.join(", ")),
        }
    }
}

impl Counts {
    fn of(structure: &Structure) -> Self {
        Self {
            functions: structure.functions,
            has_names: structure.name_bytes > 0,
            modules: structure.modules,
            memories: structure.memories,
            tables: structure.tables,
            components: structure.components,
            nesting: structure.nesting,
            custom_bytes: structure.custom_bytes,
        }
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let names = if self.has_names { "with" } else { "without" };
        writeln!(out, "made of   functions: {}, {names} names for backtraces", self.functions)?;
        let Self { modules, memories, tables, components, nesting, custom_bytes, .. } = self;
        writeln!(out, "          core modules: {modules}, memories: {memories}, tables: {tables}")?;
        writeln!(out, "          components: {components}, on levels: {nesting}")?;
        writeln!(out, "          names and other notes: {custom_bytes} bytes")
    }
}

fn reason(refusal: &AdmissionError) -> String {
    match refusal {
        AdmissionError::DoesNotStart { .. } => format!("{refusal} (inspected with an empty configuration)"),
        refusal => refusal.to_string(),
    }
}

fn print_list<'a>(
    out: &mut dyn Write,
    title: &str,
    rows: impl Iterator<Item = (&'a str, String)> + Clone,
) -> std::io::Result<()> {
    let width = rows.clone().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (number, (name, note)) in rows.enumerate() {
        let title = if number == 0 { title } else { "" };
        writeln!(out, "{}", format!("{title:<10}{name:<width$}  {note}").trim_end())?;
    }
    Ok(())
}

fn needs(needs: ImportNeed) -> String {
    match needs {
        ImportNeed::Nothing => "always there".to_owned(),
        ImportNeed::NothingAndEmpty => "always there, and empty".to_owned(),
        ImportNeed::Grant { grant } => format!("needs the grant `{grant}`"),
        ImportNeed::NewerHost => "needs a newer host".to_owned(),
        ImportNeed::OtherVersion { expected } => format!("not in this version, expected {expected}"),
        ImportNeed::NeverGranted => "never granted".to_owned(),
    }
}
