//! The arrows between the crates: tests → host → connector → broker, and who may see Iggy and wasmtime.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tree::root;

const BROKER: &str = "guesthouse-broker";
const CONNECTOR: &str = "guesthouse-connector";
const HOST: &str = "guesthouse";

/// What the broker may take from Iggy: the formats, not the client.
const CODECS: [&str; 2] = ["iggy_binary_protocol", "iggy_common"];

/// Who depends on whom, development and build dependencies included.
struct Graph {
    direct: BTreeMap<String, BTreeSet<String>>,
    members: BTreeSet<String>,
    foreign_sources: Vec<String>,
}

#[test]
fn the_connector_never_sees_wasmtime() {
    let graph = Graph::read();
    assert!(!graph.reachable(CONNECTOR).contains("wasmtime"), "{CONNECTOR} depends on wasmtime");
}

#[test]
fn only_the_connector_sees_the_iggy_client() {
    assert_eq!(Graph::read().members_over("iggy"), [CONNECTOR]);
}

#[test]
fn only_the_host_sees_wasmtime() {
    assert_eq!(Graph::read().members_over("wasmtime"), [HOST]);
}

#[test]
fn the_broker_sees_the_codecs_of_iggy_alone() {
    let graph = Graph::read();
    let seen: Vec<_> = graph.direct[BROKER].iter().filter(|name| name.starts_with("iggy")).collect();
    assert_eq!(seen, CODECS, "direct dependencies of {BROKER} on Iggy");
    let all = graph.reachable(BROKER);
    for unseen in ["iggy", "wasmtime", CONNECTOR, HOST] {
        assert!(!all.contains(unseen), "{BROKER} depends on {unseen}");
    }
}

#[test]
fn no_arrow_points_back() {
    let graph = Graph::read();
    let ours = |name: &str| -> Vec<String> {
        graph.reachable(name).into_iter().filter(|name| graph.members.contains(name)).collect()
    };
    assert_eq!(ours(BROKER), Vec::<String>::new());
    assert_eq!(ours(CONNECTOR), [BROKER]);
    assert_eq!(ours(HOST), [BROKER, CONNECTOR]);
    assert_eq!(ours("xtask"), Vec::<String>::new());
}

#[test]
fn every_dependency_comes_from_the_rust_registry() {
    let foreign = Graph::read().foreign_sources;
    assert!(foreign.is_empty(), "not from crates.io: {foreign:?}");
}

impl Graph {
    fn read() -> Self {
        let metadata = metadata();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let packages = list(&metadata["packages"]);
        let names: BTreeMap<_, _> =
            packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let dependencies = list(&node["dependencies"]);
            let dependencies = dependencies.iter().map(|id| names[id.as_str().unwrap()].clone());
            direct.entry(names[node["id"].as_str().unwrap()].clone()).or_default().extend(dependencies);
        }
        let members = list(&metadata["workspace_members"]);
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        let foreign = |package: &&Value| package["source"].as_str().is_some_and(|source| source != registry);
        Self {
            direct,
            members: members.iter().map(|id| names[id.as_str().unwrap()].clone()).collect(),
            foreign_sources: packages.iter().filter(foreign).map(|package| text(&package["id"])).collect(),
        }
    }

    /// Members of the workspace that name a package in their manifest, in order.
    fn members_over(&self, package: &str) -> Vec<&str> {
        let over = |member: &&String| self.direct[member.as_str()].contains(package);
        self.members.iter().filter(over).map(String::as_str).collect()
    }

    /// Everything that a package depends on, near or far, in order.
    fn reachable(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![package.to_owned()];
        while let Some(name) = open.pop() {
            let new = self.direct[&name].iter().filter(|name| reached.insert((*name).clone()));
            open.extend(new.cloned());
        }
        reached
    }
}

fn metadata() -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--all-features", "--locked"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
