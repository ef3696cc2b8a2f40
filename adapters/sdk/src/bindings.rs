//! What `wit-bindgen` makes of `wit/channel.wit`. Not for authors: the crate's root has the types, the macros use the rest.
//!
//! The two worlds of the contract share their types. So they are bound in two halves, the adapter and its replies,
//! and a conversational channel exports both.
#![allow(missing_docs, unsafe_code, clippy::pedantic)]

pub mod channel {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "channel",
        pub_export_macro: true,
        export_macro_name: "__export_adapter",
        default_bindings_module: "herald_channel::bindings::channel",
        additional_derives: [PartialEq],
        generate_all,
    });
}

pub mod replies {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package herald:sdk; world replies-alone { export herald:channel/replies@0.1.0; }",
        world: "herald:sdk/replies-alone",
        pub_export_macro: true,
        export_macro_name: "__export_replies",
        default_bindings_module: "herald_channel::bindings::replies",
        with: {
            "herald:channel/types@0.1.0": crate::bindings::channel::herald::channel::types,
        },
    });
}
