//! The form of a file, by its first bytes: a component in binary form, or something else that has a name.

use wasmtime::Engine;

use super::AdmissionError;

/// First bytes of a WebAssembly binary, before its version.
const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a component and of a core module.
const COMPONENT_LAYER: &[u8] = &[0x0d, 0, 1, 0];
const MODULE_LAYER: &[u8] = &[1, 0, 0, 0];

/// Refuses what is no component in binary form of at most `bytes_max` bytes. Looks at the first bytes only.
pub(in crate::sandbox) fn check(bytes: &[u8], bytes_max: u64) -> Result<(), AdmissionError> {
    let found = bytes.len() as u64;
    if found == 0 {
        return Err(AdmissionError::Empty);
    }
    if found > bytes_max {
        return Err(AdmissionError::TooLarge { found, allowed: bytes_max });
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(AdmissionError::Precompiled);
    }
    match bytes.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT_LAYER) => Ok(()),
        Some(rest) if rest.starts_with(MODULE_LAYER) => Err(AdmissionError::CoreModule),
        Some(_) => Err(AdmissionError::UnknownVersion),
        None if is_text(bytes) => Err(AdmissionError::Text),
        None => Err(AdmissionError::NotWebAssembly { found: first_bytes(bytes) }),
    }
}

/// The text form starts with a parenthesis, after blanks and comments.
fn is_text(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    start.starts_with(b"(") || start.starts_with(b";;")
}

fn first_bytes(bytes: &[u8]) -> String {
    let shown: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("bytes {}", shown.join(" "))
}
