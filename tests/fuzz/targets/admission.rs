//! Fuzzes admission: whatever bytes are brought, they are admitted or refused with a reason, in bounded time.
#![no_main]
#![expect(clippy::panic, reason = "a panic is how a fuzz target fails")]

use guesthouse::AdmissionError;
use guesthouse::compiler::CompileError;
use guesthouse_fuzz::{handler, trial, wait};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match wait(trial().admit(handler(), input.to_vec())) {
        Ok(component) => assert!(component.digest().starts_with("blake3:"), "admitted without a digest"),
        Err(
            error @ (AdmissionError::CheckStopped | AdmissionError::Compile(CompileError::Stopped { .. })),
        ) => {
            panic!("{error}")
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty(), "refused without a reason"),
    }
});
