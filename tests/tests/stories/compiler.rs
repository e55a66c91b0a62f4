//! Goal: a component that the compiler chokes on hurts nobody but itself, and nothing is compiled twice.
//! Method: components that are honest, slow, or unreadable, compiled by the real program in processes of its own;
//! those processes are looked at, limited, and killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guesthouse::compiler::{CompileError, CompileLimit, CompileSettings};
use guesthouse::trial::{Trial, TrialHandler};
use guesthouse::{AdmissionError, HandlerName, SandboxSettings};
use guesthouse_tests::house::{House, PARTITIONS, order_totals};
use guesthouse_tests::{builds, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

fn settings() -> CompileSettings {
    CompileSettings { program: Some(builds::host().to_owned()), ..CompileSettings::default() }
}

async fn admit(compile: CompileSettings, component: Vec<u8>) -> Result<(), AdmissionError> {
    let trial = Trial::start(&SandboxSettings { compile, ..SandboxSettings::default() }).unwrap();
    let handler = TrialHandler::new(HandlerName::new("compiled").unwrap());
    trial.admit(handler, component).await.map(drop)
}

fn honest() -> Vec<u8> {
    fs::read(builds::guest("order-totals")).unwrap()
}

/// A component that takes many seconds and much memory to compile: one function of many branches and calls.
fn slow() -> Vec<u8> {
    let step = "(br_if 0 (i32.eq (call 0 (local.get 0)) (local.get 1))) (local.set 0 (i32.add (local.get 0) (local.get 1)))";
    let steps = step.repeat(60_000);
    wat::parse_str(format!(
        "(component (core module (func (param i32) (result i32) (local.get 0)) (func (param i32 i32) (block {steps}))))"
    ))
    .unwrap()
}

/// A small component that takes minutes to compile: blocks inside of blocks.
fn nested() -> Vec<u8> {
    let (blocks, ends) = ("block ".repeat(100_000), "end ".repeat(100_000));
    wat::parse_str(format!("(component (core module (func {blocks}{ends})))")).unwrap()
}

/// The compiling process of this test, once it runs on a component.
async fn compiling_process() -> (Pid, PathBuf) {
    compiling_process_of(std::process::id()).await
}

async fn compiling_process_of(parent: u32) -> (Pid, PathBuf) {
    let ours = parent.to_string();
    eventually("a compiling process runs", async || {
        for process in fs::read_dir("/proc").ok()?.flatten() {
            let dir = process.path();
            let Ok(command) = fs::read(dir.join("cmdline")) else { continue };
            let Ok(status) = fs::read_to_string(dir.join("status")) else { continue };
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
            // It has given up its privileges, so it is about to read the component or has.
            let restricted = status.contains("NoNewPrivs:\t1");
            if restricted && parent == Some(&ours) && command.ends_with(b"\0guesthouse-compiler\0") {
                let pid = process.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
                return Some((pid, dir));
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_compiles_a_component_once_and_takes_it_from_its_cache_from_then_on() {
    let house = House::new();
    let (cache, config) = (house.cache_dir(), house.config(&[order_totals()]));
    let code = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "code");
    let kept = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).find(code).unwrap();
    for (name, expected, spoil) in [
        ("first", "compiler", false),
        ("second", "cache", true),
        ("third", "compiler", false),
        ("fourth", "cache", false),
    ] {
        let mut host = house.start(name, &config);
        host.until_reading(PARTITIONS).await;
        let ended = host.stop().await;
        assert!(ended.log.contains(&format!("\"code\":\"{expected}\"")), "{name}:\n{}", ended.log);
        assert_eq!(ended.log.contains("does not match its keyed hash"), name == "third", "{}", ended.log);
        if spoil {
            let mut bytes = fs::read(kept()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(kept(), bytes).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiling_process_has_limits_and_nothing_else() {
    let compilation = tokio::spawn(admit(settings(), slow()));
    let (pid, dir) = compiling_process().await;
    assert_eq!(fs::read(dir.join("environ")).unwrap(), b"");
    let read_limits = async || {
        let limits = fs::read_to_string(dir.join("limits")).ok()?;
        // The last one that it sets, but for being nice.
        let is_last = |line: &str| line.starts_with("Max address space") && line.contains("2147483648");
        limits.lines().any(is_last).then_some(limits)
    };
    let limits = eventually("the process has its limits", read_limits).await;
    let limit = |name: &str| limits.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for name in ["Max core file size", "Max file size"] {
        assert!(limit(name).starts_with('0'), "{limits}");
    }
    let files = fs::read_dir(dir.join("fd")).unwrap().count();
    assert_eq!(files, 3, "the three standard ones");
    kill_process(pid, Signal::KILL).unwrap();
    let error = compilation.await.unwrap().unwrap_err();
    assert!(matches!(&error, AdmissionError::Compile(CompileError::Stopped { .. })), "{error:?}");
    assert!(error.to_string().starts_with("the compiler stopped on the component: signal: 9"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compiling_is_limited_in_time_and_memory() {
    let cpu = CompileSettings { cpu_max: Duration::from_secs(1), ..settings() };
    let memory = CompileSettings { memory_bytes_max: 128 << 20, ..settings() };
    for (limit, settings, component, allowed) in [
        (CompileLimit::Cpu, cpu, nested(), "1s of processor time"),
        (CompileLimit::Memory, memory, slow(), "128.0 MiB of memory"),
    ] {
        let error = admit(settings, component).await.unwrap_err();
        let AdmissionError::Compile(CompileError::Limit { limit: found, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*found, limit, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("compiling the component took more than {allowed}; build it")),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_a_busy_machine_takes_is_not_blamed_on_the_component() {
    let wall = CompileSettings { wall_max: Duration::from_millis(300), ..settings() };
    let error = admit(wall, nested()).await.unwrap_err();
    assert!(matches!(&error, AdmissionError::Compile(CompileError::Busy { .. })), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("compiling the component was not done after 300ms, in which it got "), "{text}");
    assert!(text.contains("the machine is busy") && !text.contains("build it"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiling_process_ends_with_its_host() {
    let Some(house) = House::embedded("orphan") else { return };
    let component = house.keep("nested.wasm", &nested());
    let handler = json!({ "name": "nested", "component": component, "events": ["x.*"] });
    let host = house.start("host", &house.config(&[handler]));
    let (_, dir) = compiling_process_of(host.id()).await;
    let (before, compiling) = (status_line(&dir, "Pid:"), || status_line(&dir, "State:"));
    assert!(before.is_some());
    host.kill();
    eventually("the compiling process is gone, too", async || {
        // One that nobody has buried yet is gone as well.
        compiling().is_none_or(|state| state.contains('Z')).then_some(())
    })
    .await;
}

fn status_line(process: &Path, name: &str) -> Option<String> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_compiling_process_comes_through() {
    admit(settings(), honest()).await.unwrap();
    let cut = honest()[..20_000].to_vec();
    let error = admit(settings(), cut).await.unwrap_err().to_string();
    assert!(error.starts_with("the component is not valid: ") && error.contains("the whole file"), "{error}");
    let texts = r#"(component (core module (func (result i32))))"#;
    let error = admit(settings(), wat::parse_str(texts).unwrap()).await.unwrap_err().to_string();
    assert!(error.starts_with("the component is not valid: ") && error.contains("type mismatch"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_compiler_is_named() {
    for (program, expected) in [
        ("/bin/true", "/bin/true does not answer as a compiler (exit status: 0)"),
        ("/bin/cat", "/bin/cat does not answer as a compiler (exit status: 1, it said: "),
        ("/nowhere/compiler", "cannot start the compiler /nowhere/compiler"),
    ] {
        let settings = CompileSettings { program: Some(program.into()), ..CompileSettings::default() };
        let error = admit(settings, honest()).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
