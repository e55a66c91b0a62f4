//! Behaves as the payload says, `{"type":"Picky","data":{"behave":"…"}}`: one guest for every way in which an
//! event can end.

use std::hint::black_box;

use guesthouse_guest::{Event, Failure};
use serde::Deserialize;

const LAST_RETRY: u32 = 2;
const BLOCK_BYTES: usize = 1024 * 1024;

#[derive(Deserialize)]
#[serde(expecting = "an object with the member `behave`")]
struct Picky {
    behave: Behave,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behave {
    Done,
    Reject,
    RetryTwice,
    Trap,
    Loop,
    Grow,
}

#[guesthouse_guest::handler]
#[expect(clippy::panic, reason = "a trap is one of the ways to end")]
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let Picky { behave } = event.data()?;
    match behave {
        Behave::Done => Ok(()),
        Behave::Reject => Err(Failure::reject("the payload asks for a rejection")),
        Behave::RetryTwice if event.attempt() <= LAST_RETRY => Err(Failure::retry(format_args!(
            "the payload asks for a retry, this is attempt {}",
            event.attempt()
        ))),
        Behave::RetryTwice => Ok(()),
        Behave::Trap => panic!("the payload asks for a trap"),
        Behave::Loop => spin(),
        Behave::Grow => grow(),
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn grow() -> ! {
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(vec![1_u8; BLOCK_BYTES]));
    }
}
