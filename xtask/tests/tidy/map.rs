//! ARCHITECTURE.md is a map of what is there: a folder or a module that is missing on it cannot be found.

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
