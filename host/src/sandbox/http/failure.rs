//! What went wrong with an exchange, as a code that the guest can read.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;

use super::error_code::{DnsError, ErrorCode, TlsAlert};

/// What hyper says about a head over its bounds; it has no other sign of it for clients.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// A name has no address, or nobody says which.
pub(super) fn dns() -> ErrorCode {
    ErrorCode::DnsError(DnsError { rcode: None, info_code: None })
}

/// Of connecting to an address.
pub(super) fn of_connecting(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        _ => ErrorCode::DestinationUnavailable,
    }
}

/// Of the handshake of TLS.
pub(super) fn of_tls(error: &io::Error) -> ErrorCode {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::TlsCertificateError,
        Some(rustls::Error::AlertReceived(alert)) => ErrorCode::TlsAlertReceived(TlsAlert {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        }),
        Some(_) => ErrorCode::TlsProtocolError,
        None => ErrorCode::ConnectionTerminated,
    }
}

/// Of sending the request or reading the head of the response.
pub(super) fn of_head(error: &hyper::Error) -> ErrorCode {
    if error.is_parse() {
        let too_large = error.to_string().contains(HEAD_TOO_LARGE);
        return if too_large {
            ErrorCode::HttpResponseHeaderSectionSize(None)
        } else {
            ErrorCode::HttpProtocolError
        };
    }
    let broken = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    if broken || has_io_source(error) {
        ErrorCode::ConnectionTerminated
    } else {
        ErrorCode::HttpProtocolError
    }
}

/// Of reading the body of the response.
pub(super) fn of_body(error: &hyper::Error) -> ErrorCode {
    if error.is_parse() { ErrorCode::HttpProtocolError } else { ErrorCode::HttpResponseIncomplete }
}

fn has_io_source(error: &hyper::Error) -> bool {
    error.source().is_some_and(|source| source.is::<io::Error>())
}
