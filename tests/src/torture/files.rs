//! How many files a process may open.

use std::process::Command;

/// The soft limit of a life that may open few files.
pub const FILES_MAX: u64 = 256;

/// Whether this machine can change the limit of a process that runs.
///
/// # Errors
/// What is missing.
pub fn try_out() -> Result<(), String> {
    limit(std::process::id(), "").map_err(|error| format!("prlimit (util-linux): {error}"))
}

/// Forbids a process to open any file beyond those that it has.
///
/// # Errors
/// When the process has ended.
pub fn forbid(process: u32) -> Result<(), String> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).map_err(|error| error.to_string())?.count();
    limit(process, &format!("={open}:"))
}

/// Permits it as many as a life with few files begins with.
///
/// # Errors
/// When the process has ended.
pub fn permit(process: u32) -> Result<(), String> {
    limit(process, &format!("={FILES_MAX}:"))
}

fn limit(process: u32, new: &str) -> Result<(), String> {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &process.to_string(), &format!("--nofile{new}")]);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
