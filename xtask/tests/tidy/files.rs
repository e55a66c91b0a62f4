//! Rules about single files.

use std::fs;

use crate::tree::{files, root, sources};

const CODE_LINES_MAX: usize = 600;

/// Paths of one machine, put together here so that this file does not contain them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/tmp/br", "ief"), concat!("/ro", "ot/")];

#[test]
fn no_file_is_longer_than_it_may_be() {
    let long: Vec<_> = sources()
        .map(|(path, text)| (code_lines(&text), path))
        .filter(|(lines, _)| *lines > CODE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "more than {CODE_LINES_MAX} lines of code, split by nouns: {long:?}");
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let silent: Vec<_> =
        sources().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no `//!` at the top: {silent:?}");
}

#[test]
fn no_module_hides_in_a_mod_rs() {
    let hidden: Vec<_> = files().into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(hidden.is_empty(), "name.rs beside name/ instead: {hidden:?}");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let mut found = Vec::new();
    for path in files() {
        // What is not text cannot be read as such, and has no paths in it that anybody reads.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (at, line) in text.lines().enumerate() {
            if MACHINE_PATHS.iter().any(|machine| line.contains(machine)) {
                found.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(found.is_empty(), "paths that exist on one machine alone: {found:?}");
}

#[test]
fn code_lines_leave_out_comments_blanks_and_tests() {
    let text = "//! Doc.\n\nuse a;\n/// Doc.\nfn b() {\n    // Why.\n    c();\n}\n\n#[cfg(test)]\nmod tests {\n    fn d() {}\n}\n";
    assert_eq!(code_lines(text), 4);
}

/// Lines of code; an inline module of tests ends the file.
fn code_lines(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
    lines[..end]
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}
