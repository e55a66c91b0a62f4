//! Writes down every event it is given, and then behaves as the event says. What it wrote survives the death of the
//! host, so that a test knows which events were handled, how often and in which order.

use std::hint::black_box;
use std::time::Duration;

use guesthouse_guest::{Emit, Event, Failure, log};
use serde::{Deserialize, Serialize};

/// How long an event waits that is to be handled later.
const LATER: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Witnessed {
    /// Place of the event among those of its tenant and handler.
    sequence: u64,
    behave: Behave,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behave {
    Done,
    TrapOnce,
    LaterOnce,
    Trap,
    Reject,
    Loop,
}

/// What is emitted about an event that was handled, once for each of two topics.
#[derive(Serialize)]
#[serde(tag = "type", content = "data")]
enum Testimony {
    Witnessed { sequence: u64 },
}

#[guesthouse_guest::handler]
#[expect(clippy::panic, reason = "a trap is one of the ways to end")]
fn handle(event: &Event<'_>) -> Result<[Emit; 2], Failure> {
    let Witnessed { sequence, behave } = event.data()?;
    let handles = match behave {
        Behave::Done => true,
        Behave::TrapOnce | Behave::LaterOnce => event.attempt() > 1,
        Behave::Trap | Behave::Reject | Behave::Loop => false,
    };
    let word = if handles { "handled" } else { "failed" };
    log::info!("{word} {sequence} {}", event.id());
    match behave {
        _ if handles => testify(sequence),
        Behave::Reject => Err(Failure::reject("the payload asks for a rejection")),
        Behave::LaterOnce => Err(Failure::retry_after(LATER, "the payload asks for a long wait")),
        Behave::Loop => spin(),
        _ => panic!("the payload asks for a trap"),
    }
}

fn testify(sequence: u64) -> Result<[Emit; 2], Failure> {
    let testimony = Testimony::Witnessed { sequence };
    let here = Emit::json("torture.witnessed", &testimony)?;
    let there = Emit::json("torture.witnessed-there", &testimony)?.topic("system");
    Ok([here, there])
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
