//! Abuses the state store, and tells in its rejection what came of it. The type of the event says how.

use bindings::wasi::keyvalue::store::{self, Bucket};
use guesthouse_guest::{Event, Failure};

mod bindings {
    wit_bindgen::generate!({ path: "../../visit-counter/wit", generate_all });
}

/// Keys that lead elsewhere where keys are paths, or parts of other keys.
const KEYS: [&str; 10] =
    ["../../x", "/etc/passwd", "a\0b", "a", "b", "a:b", "other/hoarder/a", "\u{feff}", "%2e%2e", "a\nb"];

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let bucket = store::open("default").map_err(|error| Failure::reject(format!("no bucket: {error:?}")))?;
    let found = match event.event_type() {
        "leave" => return bucket.set("mine", b"1").map_err(|error| Failure::reject(format!("{error:?}"))),
        "look" => format!("mine {:?}, {} keys", bucket.get("mine"), keys(&bucket).len()),
        "buckets" => buckets(),
        "keys" => odd_keys(&bucket),
        "long-keys" => format!("empty {}, long {}", set(&bucket, "", 1), set(&bucket, &"k".repeat(256), 1)),
        "calls" => loop {
            let _value = bucket.get("mine");
        },
        "value" => format!("large {}", set(&bucket, "large", 2 << 20)),
        "values" => loop {
            let _kept = set(&bucket, "again", 64 << 10);
        },
        "stored" => {
            let kept = set(&bucket, "stored", 128 << 10);
            return if kept == "kept" { Ok(()) } else { Err(Failure::reject(kept)) };
        }
        other => format!("nothing to do for `{other}`"),
    };
    Err(Failure::reject(found))
}

/// How many buckets there are besides its own.
fn buckets() -> String {
    let names = ["other", "../default", "trial", "DEFAULT", "default/", "0"];
    format!("{} foreign buckets", names.into_iter().filter(|name| store::open(name).is_ok()).count())
}

/// Writes under odd keys, each its own name, and reads all of them back.
fn odd_keys(bucket: &Bucket) -> String {
    let kept = KEYS.into_iter().filter(|key| bucket.set(key, key.as_bytes()).is_ok()).count();
    let wrong = KEYS
        .into_iter()
        .filter(|key| bucket.get(key).is_ok_and(|value| value.is_some_and(|value| value != key.as_bytes())));
    format!("{kept} kept, {} wrong, {} strangers", wrong.count(), keys(bucket).len() - kept)
}

fn keys(bucket: &Bucket) -> Vec<String> {
    bucket.list_keys(None).map(|response| response.keys).unwrap_or_default()
}

fn set(bucket: &Bucket, key: &str, bytes: usize) -> &'static str {
    if bucket.set(key, &vec![b'x'; bytes]).is_ok() { "kept" } else { "refused" }
}
