//! Payloads as JSON. What does not parse will not parse later either, so these failures reject the event.

use serde::{Deserialize, Serialize};

use crate::{Emit, Event, Failure};

/// The form in which `serde` writes a variant with `tag = "type", content = "data"`. The tag says the same as
/// the type of the event and is not read.
#[derive(Deserialize)]
#[serde(expecting = "an object with the member `data`")]
struct Tagged<T> {
    data: T,
}

impl<'a> Event<'a> {
    /// Parses the payload. What is parsed may borrow from the event.
    ///
    /// # Errors
    ///
    /// Rejects the event when its payload is not JSON of this form; the reason says where and why.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.payload()).map_err(|error| {
            Failure::reject(format_args!("payload of `{}` does not parse: {error}", self.event_type()))
        })
    }

    /// Parses the `data` member of a payload of the form `{"type": …, "data": …}`.
    ///
    /// # Errors
    ///
    /// Rejects the event when its payload is not JSON of this form; the reason says where and why.
    pub fn data<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        self.json().map(|Tagged { data }| data)
    }
}

impl Emit {
    /// An emit of this type whose payload is `value` as JSON.
    ///
    /// # Errors
    ///
    /// Rejects the event when the value has no JSON form, such as a map with keys that are not text.
    pub fn json(event_type: impl Into<String>, value: &impl Serialize) -> Result<Self, Failure> {
        let event_type = event_type.into();
        match serde_json::to_vec(value) {
            Ok(payload) => Ok(Self::new(event_type, payload)),
            Err(error) => {
                Err(Failure::reject(format_args!("emit of `{event_type}` has no json form: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
