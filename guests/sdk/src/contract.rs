//! The bindings of the contract with the host, generated from `wit/handler.wit`: of the world that every component
//! has, and of what some export besides it.
#![expect(missing_docs, reason = "generated; the contract documents them")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "batch-handler",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_batch",
});

/// Getting ready, which a component exports when it has an init function.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package guesthouse:sdk;
            world ready {
                export guesthouse:handler/lifecycle@0.1.0;
            }
        ",
        world: "guesthouse:sdk/ready",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });
}
