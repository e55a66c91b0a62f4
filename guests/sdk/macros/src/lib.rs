//! The attributes `handler` and `init` of the crate `guesthouse-guest`, which re-exports and documents them.

use proc_macro::TokenStream as Tokens;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn};

/// What an attribute expects of its function.
struct Form {
    attribute: &'static str,
    argument: &'static str,
    signature: &'static str,
}

const HANDLER: Form = Form {
    attribute: "handler",
    argument: "one event",
    signature: "expected `fn NAME(event: &Event<'_>) -> Result<EMITS, Failure>`",
};
const INIT: Form = Form {
    attribute: "init",
    argument: "the configuration",
    signature: "expected `fn NAME(config: &Config) -> Result<(), ERROR>`",
};

/// Makes a function the handler of this component.
///
/// The function takes `&Event<'_>` and returns `Result<EMITS, Failure>`, where `EMITS` is `()`, `Emit`,
/// `Option<Emit>`, `Vec<Emit>` or an array of `Emit`. A component has one handler.
#[proc_macro_attribute]
pub fn handler(arguments: Tokens, item: Tokens) -> Tokens {
    expanded(expand_handler(&arguments.into(), item.into()))
}

/// Lets a function get every guest of this component ready, before its first event.
///
/// The function takes `&Config` and returns `Result<(), ERROR>`, where `ERROR` is anything that can be displayed.
/// A failure refuses the component when it is deployed, and is a failed attempt later. A component has at most one
/// such function.
#[proc_macro_attribute]
pub fn init(arguments: Tokens, item: Tokens) -> Tokens {
    expanded(expand_init(&arguments.into(), item.into()))
}

fn expanded(tokens: syn::Result<TokenStream>) -> Tokens {
    tokens.unwrap_or_else(Error::into_compile_error).into()
}

fn expand_handler(arguments: &TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function = checked(&HANDLER, arguments, item)?;
    let name = &function.sig.ident;
    Ok(quote! {
        #function

        #[allow(unsafe_code, reason = "the export is generated")]
        const _: () = {
            struct Handler;

            impl ::guesthouse_guest::export::Guest for Handler {
                fn handle_batch(
                    arena: ::std::vec::Vec<u8>,
                    index: ::std::vec::Vec<u64>,
                ) -> ::guesthouse_guest::export::Answers {
                    ::guesthouse_guest::export::handle_batch(&arena, &index, #name)
                }
            }

            ::guesthouse_guest::export::export_batch!(Handler with_types_in ::guesthouse_guest::export);
        };
    })
}

fn expand_init(arguments: &TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function = checked(&INIT, arguments, item)?;
    let name = &function.sig.ident;
    Ok(quote! {
        #function

        #[allow(unsafe_code, reason = "the export is generated")]
        const _: () = {
            use ::guesthouse_guest::export::lifecycle;

            struct Lifecycle;

            impl lifecycle::exports::guesthouse::handler::lifecycle::Guest for Lifecycle {
                fn init(
                    config: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    ::guesthouse_guest::export::init(config, #name)
                }
            }

            lifecycle::export_lifecycle!(Lifecycle with_types_in lifecycle);
        };
    })
}

/// The function that an attribute stands at, if it has the attribute's form.
fn checked(form: &Form, arguments: &TokenStream, item: TokenStream) -> syn::Result<ItemFn> {
    let Form { attribute, argument, signature: expected } = form;
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, format!("`{attribute}` takes no arguments")));
    }
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    if let Some(word) = &signature.asyncness {
        return Err(Error::new_spanned(word, format!("`{attribute}` is not async: {expected}")));
    }
    if signature.inputs.len() != 1 {
        let problem = format!("`{attribute}` takes {argument}: {expected}");
        return Err(Error::new_spanned(&signature.inputs, problem));
    }
    Ok(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &TokenStream, item: TokenStream) -> String {
        expand_handler(arguments, item).unwrap_err().to_string()
    }

    #[test]
    fn the_function_stays_and_is_exported() {
        let function = quote! { fn on_event(event: &Event<'_>) -> Result<(), Failure> { Ok(()) } };
        let text = expand_handler(&TokenStream::new(), function.clone()).unwrap().to_string();
        assert!(text.starts_with(&function.to_string()));
        assert!(text.contains("handle_batch (& arena , & index , on_event)"));
    }

    #[test]
    fn misuse_says_what_is_expected() {
        let none = &TokenStream::new();
        assert_eq!(error(&quote! { x }, quote! { fn a(e: &Event<'_>) {} }), "`handler` takes no arguments");
        let init = expand_init(none, quote! { fn a() {} }).unwrap_err().to_string();
        assert!(init.contains("`init` takes the configuration: expected `fn NAME(config: &Config)"));
        assert!(error(none, quote! { async fn a(e: &Event<'_>) {} }).contains("not async"));
        assert!(error(none, quote! { fn a() {} }).contains("takes one event"));
        assert!(error(none, quote! { fn a(e: &Event<'_>, more: u8) {} }).contains(HANDLER.signature));
        assert!(expand_handler(none, quote! { struct A; }).is_err());
    }
}
