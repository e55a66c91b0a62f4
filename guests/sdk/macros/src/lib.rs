//! The attribute `handler` of the crate `guesthouse-guest`, which re-exports and documents it.

use proc_macro::TokenStream as Tokens;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn};

const EXPECTED: &str = "expected `fn NAME(event: &Event<'_>) -> Result<EMITS, Failure>`";

/// Makes a function the handler of this component.
///
/// The function takes `&Event<'_>` and returns `Result<EMITS, Failure>`, where `EMITS` is `()`, `Emit`,
/// `Option<Emit>`, `Vec<Emit>` or an array of `Emit`. A component has one handler.
#[proc_macro_attribute]
pub fn handler(arguments: Tokens, item: Tokens) -> Tokens {
    expand(&arguments.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(arguments: &TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`handler` takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    if let Some(word) = &signature.asyncness {
        return Err(Error::new_spanned(word, format!("a handler is not async: {EXPECTED}")));
    }
    if signature.inputs.len() != 1 {
        return Err(Error::new_spanned(&signature.inputs, format!("a handler takes one event: {EXPECTED}")));
    }
    let name = &signature.ident;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &TokenStream, item: TokenStream) -> String {
        expand(arguments, item).unwrap_err().to_string()
    }

    #[test]
    fn the_function_stays_and_is_exported() {
        let function = quote! { fn on_event(event: &Event<'_>) -> Result<(), Failure> { Ok(()) } };
        let text = expand(&TokenStream::new(), function.clone()).unwrap().to_string();
        assert!(text.starts_with(&function.to_string()));
        assert!(text.contains("handle_batch (& arena , & index , on_event)"));
    }

    #[test]
    fn misuse_says_what_is_expected() {
        let none = &TokenStream::new();
        assert_eq!(error(&quote! { x }, quote! { fn a(e: &Event<'_>) {} }), "`handler` takes no arguments");
        assert!(error(none, quote! { async fn a(e: &Event<'_>) {} }).contains("not async"));
        assert!(error(none, quote! { fn a() {} }).contains("takes one event"));
        assert!(error(none, quote! { fn a(e: &Event<'_>, more: u8) {} }).contains(EXPECTED));
        assert!(expand(none, quote! { struct A; }).is_err());
    }
}
