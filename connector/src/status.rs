//! How the way to the brokers is doing: what every connection to them has noticed, in one place.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::error::ConnectorError;

/// Whether the brokers can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Nothing is connected: not yet, or no more.
    #[default]
    Closed,
    /// The last request was answered.
    Connected,
    /// The last request was not answered or a connection could not be opened; it is tried again.
    Lost,
}

/// How the way to the brokers is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Whether the brokers can be reached.
    pub state: ConnectionState,
    /// The address to which the last connection was opened, as configured.
    pub address: Option<String>,
    /// How many connections were opened since the start.
    pub connections_opened: u64,
    /// How many attempts to open one have failed since the last one that did not.
    pub failed_attempts: u32,
    /// Messages that the broker confirmed and did not store, because it had them already. Only the embedded broker
    /// recognises messages by their ids.
    pub repeats: u64,
    /// Why the last attempt failed or the last connection was lost.
    pub last_error: Option<ConnectorError>,
    /// Threads and tasks of the connection, or of the embedded broker, that ended in a panic. What they did is not done any
    /// more until the next start.
    pub workers_died: Vec<String>,
}

/// The status that all connections to an endpoint share.
#[derive(Debug, Default)]
pub(crate) struct SharedStatus(Mutex<ConnectionStatus>);

impl SharedStatus {
    pub(crate) fn get(&self) -> ConnectionStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_opened(&self, address: &str) {
        self.change(|status| {
            status.state = ConnectionState::Connected;
            status.address = Some(address.to_owned());
            status.connections_opened = status.connections_opened.saturating_add(1);
            status.failed_attempts = 0;
        });
    }

    pub(crate) fn note_failed_attempt(&self, error: &ConnectorError) {
        self.change(|status| {
            status.state = ConnectionState::Lost;
            status.failed_attempts = status.failed_attempts.saturating_add(1);
            status.last_error = Some(error.clone());
        });
    }

    pub(crate) fn note_lost(&self, error: ConnectorError) {
        self.change(|status| {
            status.state = ConnectionState::Lost;
            status.last_error = Some(error);
        });
    }

    pub(crate) fn note_repeats(&self, messages: u64) {
        self.change(|status| status.repeats = status.repeats.saturating_add(messages));
    }

    pub(crate) fn note_answer(&self) {
        self.change(|status| status.state = ConnectionState::Connected);
    }

    pub(crate) fn note_closed(&self) {
        self.change(|status| status.state = ConnectionState::Closed);
    }

    fn change(&self, change: impl FnOnce(&mut ConnectionStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_returns_are_counted() {
        let shared = SharedStatus::default();
        assert_eq!(shared.get(), ConnectionStatus::default());
        let error = ConnectorError::Connection("gone".into());
        shared.note_opened("a:1");
        shared.note_lost(error.clone());
        shared.note_failed_attempt(&error);
        shared.note_failed_attempt(&error);
        let lost = shared.get();
        assert_eq!((lost.state, lost.failed_attempts), (ConnectionState::Lost, 2));
        assert_eq!(lost.last_error, Some(error));
        shared.note_opened("b:2");
        let back = shared.get();
        assert_eq!((back.state, back.failed_attempts), (ConnectionState::Connected, 0));
        assert_eq!((back.address.as_deref(), back.connections_opened), (Some("b:2"), 2));
    }
}
