//! Fuzzes the keys of the state store: two of them are equal only if tenant, handler and key are, and no key of one
//! tenant and handler lies in the range of others.
#![no_main]

use guesthouse::fuzzing::state_key;
use libfuzzer_sys::fuzz_target;

type Triple = (String, String, String);

fuzz_target!(|pair: (Triple, Triple)| {
    let (left, right) = pair;
    let (range, key) = state_key(&left.0, &left.1, &left.2);
    let (other_range, other_key) = state_key(&right.0, &right.1, &right.2);
    assert_eq!(key == other_key, left == right, "{left:?} and {right:?}");
    let same_owner = (&left.0, &left.1) == (&right.0, &right.1);
    assert!(key.starts_with(&range), "{left:?}");
    assert_eq!(key.starts_with(&other_range), same_owner, "{left:?} and {right:?}");
    assert_eq!(other_key.starts_with(&range), same_owner, "{left:?} and {right:?}");
});
