//! What the front pages say is there, is there: ARCHITECTURE.md names every room, README.md shows real code.

use std::fs;
use std::path::Path;

use crate::tree::{files, root, top_folders};

#[test]
fn the_map_names_every_folder_of_the_root() {
    let map = map();
    let named = |folder: &String| map.contains(&format!("{folder}/"));
    let missing: Vec<_> =
        top_folders().into_iter().filter(|folder| !folder.starts_with('.') && !named(folder)).collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:?}");
}

#[test]
fn the_map_names_every_module_of_the_host() {
    let map = map();
    let host = Path::new("host/src");
    let modules = files().into_iter().filter(|path| path.parent() == Some(host));
    let names = modules.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let is_door = |name: &str| name == "lib" || name == "main";
    let missing: Vec<_> =
        names.filter(|name| !is_door(name) && !map.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:?}");
}

fn map() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

#[test]
fn the_handler_of_the_readme_is_the_one_of_the_guests() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let guest = fs::read_to_string(root().join("guests/order-totals/src/lib.rs")).unwrap();
    for part in shown.trim().split("\n\n") {
        assert!(guest.contains(part), "not in guests/order-totals/src/lib.rs:\n{part}");
    }
}
