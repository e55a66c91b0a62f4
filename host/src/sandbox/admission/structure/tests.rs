//! What is counted, where counting stops, and what damage does.

use super::*;
use crate::sandbox::fixtures::{EXPORT_BATCH, actor, component, types_in_types};

fn refusal(text: &str) -> String {
    Structure::of(&component(text)).unwrap_err().to_string()
}

fn too_much(text: &str) -> Part {
    match Structure::of(&component(text)) {
        Err(StructureError::TooMuch { part, found, allowed }) if found > allowed => part,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_parts_of_a_component_are_counted() {
    let import = r#"(import "wasi:cli/exit@0.2.3" (instance))"#;
    let inside = format!(
        "(component $c (component) (core module $m (memory 1) (table 1 funcref) (func (local i32 i64 i64)))
            (core instance (instantiate $m)) (core instance (instantiate $m)))
         (instance (instantiate $c)) {}",
        EXPORT_BATCH.1
    );
    let structure = Structure::of(&actor(&[("export", &inside), ("import", import)])).unwrap();
    assert_eq!(structure.imports, ["wasi:cli/exit@0.2.3"]);
    assert_eq!(structure.exports, ["guesthouse:handler/batch@0.1.0"]);
    assert_eq!((structure.nesting, structure.components, structure.component_instances), (3, 3, 1));
    assert_eq!((structure.modules, structure.core_instances), (3, 4));
    assert_eq!((structure.memories, structure.tables, structure.locals), (2, 2, 3));
    assert_eq!(structure.functions, 10);
    assert!(structure.name_bytes > 0 && structure.custom_bytes >= structure.name_bytes);
}

#[test]
fn texts_are_utf8_only() {
    for encoding in ["utf16", "latin1+utf16"] {
        let text = format!(
            r#"(component (import "f" (func $f (param "t" string)))
                (core module $m (memory (export "memory") 1)) (core instance $i (instantiate $m))
                (core func (canon lower (func $f) string-encoding={encoding} (memory (core memory $i "memory")))))"#
        );
        let expected = format!("the component passes texts as {encoding}, expected utf8; build its bindings");
        assert!(refusal(&text).starts_with(&expected));
    }
}

#[test]
fn components_are_no_values() {
    for text in [
        r#"(component (import "c" (component)))"#,
        r#"(component (component $c) (export "c" (component $c)))"#,
        r#"(component (component $c) (component (alias outer 1 $c (component))))"#,
        r#"(component (import "i" (instance $i (export "c" (component)))) (alias export $i "c" (component)))"#,
    ] {
        assert_eq!(Structure::of(&component(text)), Err(StructureError::ComponentValue), "{text}");
    }
}

#[test]
fn counting_stops_at_what_there_is_too_much_of() {
    let times = |count: usize, text: &str| text.repeat(count);
    let nested = |levels: usize| format!("{}{}", times(levels, "(component "), times(levels, ")"));
    assert!(Structure::of(&component(&nested(4))).is_ok());
    assert_eq!(too_much(&nested(5)), Part::Nesting);
    assert!(Structure::of(&types_in_types(199)).is_ok());
    let types = Structure::of(&types_in_types(200));
    assert!(
        matches!(types, Err(StructureError::TooMuch { part: Part::TypeLevels, found: 201, .. })),
        "{types:?}"
    );
    assert_eq!(too_much(&format!("(component {})", times(64, "(component)"))), Part::Components);
    assert_eq!(too_much(&format!("(component {})", times(65, "(core module)"))), Part::Modules);
    let instances = times(129, "(core instance (instantiate $m))");
    assert_eq!(too_much(&format!("(component (core module $m) {instances})")), Part::CoreInstances);
    let instances = times(65, "(instance (instantiate $c))");
    assert_eq!(too_much(&format!("(component (component $c) {instances})")), Part::ComponentInstances);
    assert_eq!(too_much("(component (core module (memory 1) (memory 1)))"), Part::MemoriesOfModule);
    let tables = times(65, "(table 1 funcref)");
    assert_eq!(too_much(&format!("(component (core module {tables}))")), Part::Tables);
    let functions = times(50_001, "(func)");
    assert_eq!(too_much(&format!("(component (core module {functions}))")), Part::Functions);
    let locals = times(5_001, "i32 ");
    assert_eq!(too_much(&format!("(component (core module (func (local {locals}))))")), Part::Locals);
    let imports: String = (0..1_001).map(|i| format!("(import \"i{i}\" (func)) ")).collect();
    assert_eq!(too_much(&format!("(component {imports})")), Part::Imports);
    let exports: String = (0..1_001).map(|i| format!("(export \"e{i}\" (func $f)) ")).collect();
    assert_eq!(too_much(&format!("(component (import \"f\" (func $f)) {exports})")), Part::Exports);
    let names = format!("(component (core module (@custom \"name\" \"{}\")))", times((8 << 20) + 1, "x"));
    assert_eq!(too_much(&names), Part::NameBytes);
}

#[test]
fn a_refusal_says_what_was_found_what_is_allowed_and_what_to_do() {
    assert_eq!(
        refusal(&format!("(component (core module (func (local {}))))", "i32 ".repeat(6_000))),
        "the component has 6000 local variables in one function, allowed are 5000; \
         build it with optimisation, or split that function"
    );
}

#[test]
fn more_locals_than_a_number_can_count_are_refused() {
    // Bodies: four declarations of 2^32 - 1 locals each.
    let many = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f];
    let mut body = vec![4];
    (0..4).for_each(|_| body.extend(many));
    body.push(0x0b);
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
    let length = u8::try_from(body.len()).unwrap();
    module.extend([length + 2, 1, length]);
    module.extend(body);
    let mut bytes = b"\0asm\x0d\0\x01\0\x01".to_vec();
    bytes.push(u8::try_from(module.len()).unwrap());
    bytes.extend(module);
    let found = Structure::of(&bytes).unwrap_err().to_string();
    assert!(found.contains("locals"), "{found}");
}

#[test]
fn a_component_cut_at_any_byte_is_damaged_or_smaller_and_does_no_harm() {
    let whole = actor(&[EXPORT_BATCH]);
    let structure = Structure::of(&whole).unwrap();
    for end in 0..whole.len() {
        if let Ok(cut) = Structure::of(&whole[..end]) {
            assert!(cut.custom_bytes < structure.custom_bytes, "cut at {end}");
        }
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let whole = actor(&[EXPORT_BATCH]);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // Whatever comes of it, it is an answer and not a panic.
        drop(Structure::of(&flipped));
    }
}
