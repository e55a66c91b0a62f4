//! The files of the repository, without what is built or ignored.

use std::fs;
use std::path::{Path, PathBuf};

/// What git ignores, and git's own: a folder, or a file in a linked worktree.
const NOT_OURS: [&str; 6] = [".git", ".venv", "__pycache__", "node_modules", "target", "data"];
/// Bindings that `cargo component` writes, which git ignores too.
const BINDINGS: &str = "greeter-component/src/bindings.rs";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    // What cargo says now: several checkouts may share a target directory, and with it what one of them has built.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    Path::new(&manifest).parent().unwrap().to_owned()
}

/// Every file, by its path from the root.
pub(crate) fn files() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && is_ours(&root, &path) => folders.push(path),
                kind if kind.is_file() && !path.ends_with(".git") && !path.ends_with(BINDINGS) => {
                    found.push(path.strip_prefix(&root).unwrap().to_owned())
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file with its text.
pub(crate) fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(root().join(&path)).unwrap()))
}

/// Folders of the root that hold something of ours.
pub(crate) fn top_folders() -> Vec<String> {
    let first = |path: PathBuf| {
        let mut parts = path.components();
        let first = parts.next().unwrap().as_os_str().to_str().unwrap().to_owned();
        parts.next().map(|_| first)
    };
    let mut folders: Vec<_> = files().into_iter().filter_map(first).collect();
    folders.dedup();
    folders
}

/// `tests/data` is ours, `/data` is what an embedded broker leaves behind.
fn is_ours(root: &Path, folder: &Path) -> bool {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let at_top = folder.parent() == Some(root);
    !NOT_OURS.contains(&name) || (name == "data" && !at_top)
}
