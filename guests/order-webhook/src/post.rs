//! Sending one event as the body of a `POST`.

use std::io::Write;

use guesthouse_guest::{Event, Failure};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, HeaderError, Method, OutgoingBody, OutgoingRequest};

use crate::url::Url;

/// Posts the payload of an event and tells the status of the answer. Nobody reads what else it says.
pub(crate) fn post(url: &Url<'_>, event: &Event<'_>) -> Result<u16, Failure> {
    let headers = headers(event).map_err(|error| Failure::reject(format!("cannot be a header: {error}")))?;
    let request = OutgoingRequest::new(headers);
    let refused = |()| Failure::reject("the parts of the configured URL cannot make a request");
    request.set_method(&Method::Post).map_err(refused)?;
    request.set_scheme(Some(&url.scheme)).map_err(refused)?;
    request.set_authority(Some(url.authority)).map_err(refused)?;
    request.set_path_with_query(Some(url.path)).map_err(refused)?;
    let body = request.body().map_err(refused)?;
    let response = handle(request, None).map_err(|error| failed(&error))?;
    {
        let mut stream = body.write().map_err(refused)?;
        stream.write_all(event.payload()).map_err(Failure::retry)?;
    }
    OutgoingBody::finish(body, None).map_err(|error| failed(&error))?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(answer)) => Ok(answer.map_err(|error| failed(&error))?.status()),
        _ => Err(Failure::retry("the host has no response after it was waited for")),
    }
}

/// The receiver tells repetitions apart by the event's id.
fn headers(event: &Event<'_>) -> Result<Fields, HeaderError> {
    let entries = [
        ("content-type", event.content_type()),
        ("idempotency-key", event.id()),
        ("event-type", event.event_type()),
    ];
    let entries = entries.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    Fields::from_list(&entries)
}

/// What no other attempt would change is rejected.
fn failed(error: &ErrorCode) -> Failure {
    let reason = format!("no response: {error:?}");
    match error {
        ErrorCode::HttpRequestDenied
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::HttpRequestUriInvalid => Failure::reject(reason),
        _ => Failure::retry(reason),
    }
}
