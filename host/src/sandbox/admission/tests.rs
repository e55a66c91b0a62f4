//! Components that are refused, and what they are told.

use wasmtime::component::Component;

use bytes::Bytes;

use super::*;
use crate::compiler::CompileError;
use crate::sandbox::World;
use crate::sandbox::fixtures::{EXPORT_BATCH, EXPORT_HANDLER, actor, component, spec};

fn admit(grants: Grants, bytes: &Bytes) -> Result<AdmittedComponent, AdmissionError> {
    check_form(bytes, 1 << 20)?;
    let engines = Engines::new().unwrap();
    let courier = Arc::new(Courier::start().unwrap());
    let admission = Admission::new(&engines, &SandboxSettings::default(), courier).unwrap();
    let code = Code::compiled_here(&engines, bytes).map_err(CompileError::Refused)?;
    admission.admit(GuestSpec { grants, ..spec() }, (code.into(), CodeSource::Compiler), &Arc::default())
}

fn refusal(bytes: impl Into<Bytes>) -> String {
    admit(Grants::default(), &bytes.into()).unwrap_err().to_string()
}

const LOG: &str = r#"(import "guesthouse:handler/log@0.1.0" (instance
    (type $level (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $exported (eq $level)))
    (export "write" (func (param "level" $exported) (param "message" string)))))"#;

#[test]
fn components_of_both_worlds_are_admitted() {
    let bytes = actor(&[EXPORT_HANDLER]);
    let admitted = admit(Grants::default(), &bytes).unwrap();
    assert_eq!((admitted.world(), admitted.size_bytes()), (World::Event, bytes.len() as u64));
    assert_eq!(admitted.digest(), format!("blake3:{}", blake3::hash(&bytes).to_hex()));
    let both = format!("{} {}", EXPORT_HANDLER.1, EXPORT_BATCH.1);
    assert_eq!(admit(Grants::default(), &actor(&[("export", &both)])).unwrap().world(), World::Batch);
}

#[test]
fn what_is_no_component_is_named() {
    assert_eq!(refusal(""), "the file is empty, expected a WebAssembly component");
    assert!(
        refusal(vec![0; (1 << 20) + 1]).starts_with("the component has 1048577 bytes, allowed are 1048576")
    );
    assert!(
        refusal("#!/bin/sh").starts_with("the file starts with bytes 23 21 2f 62, expected a WebAssembly")
    );
    assert!(refusal(" \n(component)").starts_with("the file is WebAssembly text"));
    assert!(refusal(component("(module)")).starts_with("the file is a WebAssembly core module"));
    assert!(refusal(&b"\0asm\x02\0\0\0"[..]).contains("of an unknown version, or cut"));
}

#[test]
fn machine_code_is_never_accepted() {
    let engine = Engines::new().unwrap().copied;
    let compiled = Component::from_binary(&engine, &actor(&[EXPORT_BATCH])).unwrap().serialize().unwrap();
    assert!(refusal(compiled).starts_with("the file is precompiled machine code"));
}

#[test]
fn a_component_cut_anywhere_is_refused() {
    let bytes = actor(&[EXPORT_BATCH]);
    let admits = |end: &usize| admit(Grants::default(), &bytes.slice(..end)).is_ok();
    let admitted = (0..bytes.len()).filter(admits).count();
    // What is cut exactly before its last section, which holds names for people, is whole.
    assert_eq!(admitted, 1);
}

#[test]
fn damaged_components_do_no_harm() {
    let bytes = actor(&[EXPORT_BATCH]);
    for position in (8..bytes.len()).step_by(7) {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 0x55;
        // Some are still valid; none may panic.
        drop(admit(Grants::default(), &damaged.into()));
    }
}

#[test]
fn a_component_without_a_handler_is_told_what_it_exports() {
    assert!(refusal(component("(component)")).starts_with("the component exports nothing, expected"));
    let other = ("export", r#"(export "acme:shop/handler@0.1.0" (instance $handler))"#);
    assert!(
        refusal(actor(&[other])).starts_with("the component exports `acme:shop/handler@0.1.0`, expected")
    );
}

#[test]
fn another_version_of_the_contract_is_named() {
    for (export, expected) in [
        (
            "guesthouse:handler/handler@0.2.0",
            "the component exports guesthouse:handler/handler@0.2.0, expected version 0.1.0; build it",
        ),
        (
            "guesthouse:handler/handler",
            "the component exports guesthouse:handler/handler, expected version 0.1.0; build it",
        ),
        (
            "guesthouse:handler/handler@0.1.1",
            "the component uses guesthouse:handler/handler@0.1.1, which is newer than this host's version 0.1.0",
        ),
    ] {
        let refusal = refusal(actor(&[("export", &format!(r#"(export "{export}" (instance $handler))"#))]));
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn a_component_of_an_earlier_version_is_served_by_a_later_host() {
    let engine = Engines::new().unwrap().copied;
    let component = Component::from_binary(&engine, &actor(&[EXPORT_HANDLER])).unwrap();
    assert_eq!(exports::entry(&component, "0.1.9").unwrap().0, World::Event);
    assert!(matches!(exports::entry(&component, "0.2.0"), Err(AdmissionError::OtherVersion { .. })));
    // What it imports is linked under the host's version, and found by the engine under an earlier one.
    let component = Component::from_binary(&engine, &actor(&[EXPORT_BATCH, ("import", LOG)])).unwrap();
    let mut linker = Linker::<GuestState>::new(&engine);
    link_log(&mut linker, "0.1.9").unwrap();
    linker.instantiate_pre(&component).unwrap();
}

#[test]
fn a_handler_of_another_type_is_refused() {
    let swapped = ("export", r#"(export "guesthouse:handler/handler@0.1.0" (instance $batch))"#);
    assert!(refusal(actor(&[swapped])).contains("it has no function `handle`"));
    let other = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $handler (export "handle" (func $f)))
        (export "guesthouse:handler/handler@0.1.0" (instance $handler)))"#;
    let refusal = refusal(component(other));
    assert!(refusal.contains("has another type than `wit/handler.wit`"), "{refusal}");
}

#[test]
fn imports_need_their_grant() {
    let bytes = actor(&[EXPORT_BATCH, ("import", LOG)]);
    assert_eq!(
        refusal(bytes.clone()),
        "the component imports guesthouse:handler/log@0.1.0, which is not granted; \
         add `log` to the handler's grants, or remove the import"
    );
    assert!(admit(Grants { log: true, ..Grants::default() }, &bytes).is_ok());
}

#[test]
fn unknown_imports_are_all_named() {
    let imports = r#"(import "wasi:http/incoming-handler@0.2.4" (instance))
        (import "guesthouse:handler/log@0.9.0" (instance))
        (import "wasi:cli/environment@0.3.0" (instance))
        (import "do-it" (func))"#;
    let refusal = refusal(actor(&[EXPORT_BATCH, ("import", imports)]));
    assert!(
        refusal.starts_with(
            "the component imports `wasi:http/incoming-handler@0.2.4`, `guesthouse:handler/log@0.9.0, expected version \
             0.1.0`, `wasi:cli/environment@0.3.0, expected version 0.2.0 or a later release of 0.2`, `do-it`, which no \
             grant allows; a handler may import"
        ),
        "{refusal}"
    );
}

#[test]
fn http_is_a_matter_of_its_grant() {
    let import = r#"(import "wasi:http/outgoing-handler@0.2.4" (instance))"#;
    let bytes = actor(&[EXPORT_BATCH, ("import", import)]);
    let expected = "which is not granted; add `http` to the handler's grants";
    assert!(refusal(bytes.clone()).contains(expected));
    let component = admit(Grants { http: Some(Arc::default()), ..Grants::default() }, &bytes).unwrap();
    assert_eq!(component.pool(), Pool::Waiting);
    assert!(!component.shares_calls());
}

#[test]
fn an_import_of_another_type_is_refused() {
    let import = r#"(import "wasi:cli/environment@0.2.0" (instance
        (export "get-arguments" (func (result u32)))))"#;
    let refusal = refusal(actor(&[EXPORT_BATCH, ("import", import)]));
    assert!(
        refusal.contains("another type than the host offers") && refusal.contains("get-arguments"),
        "{refusal}"
    );
}

#[test]
fn files_and_sockets_may_be_imported_and_are_empty() {
    let import = r#"
        (import "wasi:io/poll@0.2.6" (instance $poll (export "pollable" (type (sub resource)))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:filesystem/types@0.2.6" (instance $types
            (export "descriptor" (type $descriptor (sub resource)))
            (type $code (enum "access" "io"))
            (export "error-code" (type $error-code (eq $code)))
            (export "[method]descriptor.sync" (func (param "self" (borrow $descriptor)) (result (result (error $error-code)))))))
        (alias export $types "descriptor" (type $descriptor))
        (import "wasi:filesystem/preopens@0.2.6" (instance
            (alias outer 1 $descriptor (type $outer))
            (export "descriptor" (type $descriptor (eq $outer)))
            (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
        (import "wasi:sockets/udp@0.2.1" (instance
            (export "udp-socket" (type $socket (sub resource)))
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $pollable (eq $outer)))
            (export "[method]udp-socket.subscribe" (func (param "self" (borrow $socket)) (result (own $pollable))))))"#;
    admit(Grants::default(), &actor(&[EXPORT_BATCH, ("import", import)])).unwrap();
}

#[test]
fn memories_are_counted_together_when_a_guest_starts() {
    let second = |pages: u32| {
        format!("(core module $more (memory {pages})) (core instance (instantiate $more)) {}", EXPORT_BATCH.1)
    };
    let refusal = refusal(actor(&[("export", &second(1023))]));
    assert!(
        refusal.contains("out-of-memory: asked for 67174416 bytes of memory, may have 67108864"),
        "{refusal}"
    );
    // The actor has two pages and a table of its own.
    assert!(admit(Grants::default(), &actor(&[("export", &second(1021))])).is_ok());
}

#[test]
fn parts_of_a_component_may_pass_values_between_their_memories() {
    let parts = r#"
        (component $callee
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
                (func (export "take") (param i32 i32)
                    (if (i32.ne (i32.load (local.get 0)) (i32.const 0x6c6c6568)) (then unreachable))))
            (core instance $i (instantiate $m))
            (func (export "take") (param "text" string)
                (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
        (instance $callee (instantiate $callee))
        (component $caller
            (import "take" (func $take (param "text" string)))
            (core module $texts (memory (export "memory") 1) (data (i32.const 0) "hello"))
            (core instance $texts (instantiate $texts))
            (core func $take (canon lower (func $take) (memory (core memory $texts "memory"))))
            (core module $m
                (import "callee" "take" (func $take (param i32 i32)))
                (func $start (call $take (i32.const 0) (i32.const 5)))
                (start $start))
            (core instance (instantiate $m (with "callee" (instance (export "take" (func $take)))))))
        (instance (instantiate $caller (with "take" (func $callee "take"))))"#;
    admit(Grants::default(), &actor(&[("export", &format!("{parts} {}", EXPORT_BATCH.1))])).unwrap();
}

#[test]
fn proposals_that_are_switched_off_are_refused() {
    for core in ["(memory i64 1)", "(tag)", "(type (struct))", "(memory 1 1 shared)"] {
        let text = format!("(component (core module {core}))");
        let refusal = refusal(component(&text));
        assert!(refusal.starts_with("the component is not valid"), "{core}: {refusal}");
    }
}
