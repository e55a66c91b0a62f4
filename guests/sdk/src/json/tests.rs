//! What parses, what borrows, and what the reason of a rejection says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::*;
use crate::sample::Sample;

#[derive(Deserialize, Debug, PartialEq)]
struct Order<'a> {
    #[serde(borrow)]
    currency: Cow<'a, str>,
    total: i64,
}

fn parse(payload: &str) -> Result<(Cow<'static, str>, i64), Failure> {
    let sample = Sample::of_payload(payload.as_bytes());
    let event = Event::new(&sample.arena, sample.index[1..].first_chunk().unwrap());
    event.data::<Order<'_>>().map(|order| (Cow::Owned(order.currency.into_owned()), order.total))
}

#[test]
fn data_is_the_member_of_that_name() {
    let order =
        parse(r#" {"type":"OrderPlaced","more":[1],"data":{"x":{},"currency":"EU\u0052","total":-1}} "#);
    assert_eq!(order, Ok(("EUR".into(), -1)));
}

#[test]
fn texts_without_escapes_borrow() {
    let sample = Sample::of_payload(br#"{"currency":"EUR","total":1}"#);
    let event = Event::new(&sample.arena, sample.index[1..].first_chunk().unwrap());
    assert!(matches!(event.json(), Ok(Order { currency: Cow::Borrowed("EUR"), total: 1 })));
}

#[test]
fn a_rejection_says_where_and_why() {
    let reason = parse(r#"{"type":"OrderPlaced","data":{"currency":"EUR"}}"#).unwrap_err().to_string();
    assert_eq!(
        reason,
        "rejects the event: payload of `order.placed` does not parse: missing field `total` at line 1 column 47"
    );
    assert!(parse(r#"{"type":"OrderPlaced"}"#).unwrap_err().to_string().contains("missing field `data`"));
    assert!(parse("[]").unwrap_err().to_string().contains("expected an object with the member `data`"));
    assert!(parse("").unwrap_err().to_string().contains("EOF while parsing"));
}

#[test]
fn an_emit_is_written_as_json() {
    let emit = Emit::json("order.counted", &[1, 2]).unwrap();
    assert_eq!(emit, Emit::new("order.counted", "[1,2]"));
}

#[test]
fn a_value_without_json_form_is_a_rejection() {
    let failure = Emit::json("order.counted", &BTreeMap::from([((1, 2), 3)])).unwrap_err();
    assert!(failure.to_string().starts_with("rejects the event: emit of `order.counted` has no json form:"));
}
