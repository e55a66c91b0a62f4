//! What a parked topic holds: events that wait for an earlier one of their lane, and what was done about them.
//!
//! Each partition belongs to the partition of the same number of its source topic; the host that reads the one reads
//! and writes the other. [`Record`] is a message of it, [`ParkedLanes`] what its messages add up to, [`Keeper`] brings
//! them to the dispatcher.

mod board;
mod keeper;
mod lanes;
mod record;

pub(crate) use board::{Fetch, ParkedBoard};
pub(crate) use keeper::{Fetched, Keeper, ReadBack, read_back};
#[cfg(test)]
pub(crate) use keeper::{LastNote, restore};
pub(crate) use lanes::{Applied, ParkedLane, ParkedLanes, Standing};
pub(crate) use record::{
    Action, Command, Content, Control, Dropped, Head, Kind, Owner, ParkedEvent, Record, names,
};
