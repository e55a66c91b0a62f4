//! The bindings of the contract with the host, generated from `wit/handler.wit`.
#![expect(missing_docs, reason = "generated; the contract documents them")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "batch-handler",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_batch",
});
