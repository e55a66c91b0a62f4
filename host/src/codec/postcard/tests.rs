//! What the `postcard` codec reads, refuses and writes.

use guesthouse_connector::OutgoingMessage;

use super::*;
use crate::codec::fixtures::{bytes_of, emit, emit_id, header, message, samples};
use crate::codec::{Codec, Format};
use crate::event::Event;

const CODEC: Codec = Codec::Enveloped(Format::Postcard);
const PAYLOAD: &[u8] = br#"{"type":"OrderCounted","data":{"count":3}}"#;

fn written() -> (Event, OutgoingMessage) {
    let (json, _) = samples().remove(3);
    let cause = Codec::default().decode(message(json, &[])).map_err(|(_, error)| error).unwrap();
    let written = CODEC.encode_emit(&cause, &emit(PAYLOAD), emit_id(&cause), 1_787_217_302_417_305).unwrap();
    (cause, written)
}

fn refused(payload: Vec<u8>) -> DecodeError {
    CODEC.decode(message(payload, &[])).unwrap_err().1
}

#[test]
fn an_emit_is_read_back() {
    let (cause, written) = written();
    assert_eq!(header(&written, "content-type"), "application/vnd.guesthouse.postcard");
    let event = CODEC.decode(message(written.payload.clone(), &[])).map_err(|(_, error)| error).unwrap();
    assert_eq!(event.payload, PAYLOAD);
    assert!(written.payload.as_ptr_range().contains(&event.payload.as_ptr()), "a slice of the message");
    assert_eq!((&event.id, event.schema_version), (&emit_id(&cause).to_string().into(), 2));
    assert_eq!((&event.causation_id, &event.tenant), (&Some(cause.id.clone()), &cause.tenant));
    assert_eq!((event.correlation_id, event.actor), (cause.correlation_id, cause.actor));
    assert_eq!(event.timestamp_micros, 1_787_217_302_417_305);
}

/// The layout is for ever: these bytes were written by version 1.
#[test]
fn the_layout_of_version_1_is_kept() {
    let record = "01\
        01010101010101010101010101010101\
        03612e62\
        07\
        02020202020202020202020202020202\
        00\
        03030303030303030303030303030303\
        00\
        d209\
        0104040404040404040404040404040404\
        027b7d\
        00";
    let event = CODEC.decode(message(bytes_of(record), &[])).map_err(|(_, error)| error).unwrap();
    assert_eq!(event.id, "01010101-0101-0101-0101-010101010101");
    assert_eq!((&*event.event_type, event.schema_version), ("a.b", 7));
    assert_eq!(event.tenant.as_str(), "03030303-0303-0303-0303-030303030303");
    assert_eq!((event.timestamp_micros, &event.payload[..]), (617, &b"{}"[..]));
    assert_eq!(event.actor.as_deref(), Some("04040404-0404-0404-0404-040404040404"));
}

#[test]
fn what_is_no_record_is_refused_with_a_stable_code() {
    let (_, written) = written();
    let bytes = written.payload.to_vec();
    assert_eq!(refused(Vec::new()).code(), "postcard-version");
    let other = [&[2], &bytes[1..]].concat();
    let error = refused(other);
    assert_eq!(
        (error.code(), &*error.to_string()),
        ("postcard-version", "the record has version 2, expected version 1")
    );
    let longer = refused([&bytes[..], b"x"].concat());
    assert_eq!((longer.code(), &*longer.to_string()), ("postcard-envelope", "1 bytes follow the envelope"));
    let at = bytes.windows(7).position(|window| window == b"{\"type\"").unwrap();
    let mut broken = bytes.clone();
    broken[at] = b'[';
    assert!(refused(broken).to_string().contains("`event_json` is not JSON"));
    for cut in 1..bytes.len() {
        assert_eq!(refused(bytes[..cut].to_vec()).code(), "postcard-envelope");
    }
}

#[test]
fn headers_that_disagree_are_refused() {
    let (_, written) = written();
    let other = [("tenant-id", "another")];
    let error = CODEC.decode(message(written.payload, &other)).unwrap_err().1;
    assert_eq!(error.code(), "tenant-mismatch");
}
