//! `guesthouse check`: says whether a configuration would run, without a broker.

use super::{ConfigArgs, Console, Environment, report};
use crate::config::Config;
use crate::host::admit;
use crate::open_files::{self, FilesWanted};
use crate::sandbox::{AdmittedComponent, Sandbox, SandboxSettings};

/// Some handlers' components are missing or refused.
#[derive(Debug, thiserror::Error)]
#[error("{refused} of {handlers} handlers cannot run; see above")]
pub(super) struct ComponentsRefused {
    refused: usize,
    handlers: usize,
}

pub(super) async fn check(
    args: ConfigArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let config = args.load(environment)?;
    console.out.write_all(config.to_yaml_masked().as_bytes())?;
    if let Some(excess) = FilesWanted::of(&config).excess(open_files::limit()) {
        writeln!(console.err, "warning: {excess}")?;
    }
    // It writes nothing: what it compiles is not kept, and what was kept is left alone.
    let sandbox = Sandbox::start(&SandboxSettings { cache: None, ..config.sandbox.clone() })?;
    let checked = check_components(&sandbox, &config, console).await;
    // Its threads are idle, so this returns at once.
    sandbox.shutdown();
    checked
}

async fn check_components(
    sandbox: &Sandbox,
    config: &Config,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut refused = 0;
    for handler in &config.handlers {
        match admit(sandbox, handler, &config.subscriptions).await {
            Ok(component) => writeln!(console.out, "# {}: {}", handler.name, describe(&component))?,
            Err(error) => {
                refused += 1;
                writeln!(console.err, "{}", report(&error.into()))?;
            }
        }
    }
    let handlers = config.handlers.len();
    if refused > 0 { Err(ComponentsRefused { refused, handlers }.into()) } else { Ok(()) }
}

fn describe(component: &AdmittedComponent) -> String {
    let world = component.world().as_str();
    let functions = component.structure().functions;
    format!("{world}, {functions} functions, {} bytes, {}", component.size_bytes(), component.digest())
}
