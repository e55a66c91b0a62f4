//! The engines of the process, and the clock that lets them interrupt guests.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use guesthouse_broker::workers::Workers;
use wasmtime::{Config, Engine, OptLevel, Strategy, WasmBacktraceDetails};

/// Time between two ticks: how exactly guests are stopped.
const TICK: Duration = Duration::from_millis(10);
/// Ticks at once when guests must stop now: more than the longest deadline has.
const HURRIED_TICKS: u32 = 1 << 17;
/// Stack of a guest.
const GUEST_STACK_BYTES: usize = 512 << 10;
/// Frames of a backtrace; a Rust panic takes about ten for itself.
const BACKTRACE_FRAMES_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// Most bytes of data that are copied into the memory of a guest when it starts.
///
/// Copied data is the cheaper kind: a guest takes three mappings of the kernel instead of four, no descriptor is kept for its
/// component, and its start and its end change fewer mappings, each of which interrupts the other processors. With 4,000
/// tenants in turn an event cost 4.5 µs instead of 5.8. But each guest has the data for itself, and that of an interpreter
/// is megabytes: it is mapped, and what no guest writes to is shared by all.
const COPIED_BYTES_MAX: u64 = 64 << 10;

/// How the memory of a guest gets the data of its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryInit {
    /// Copied at the start.
    Copied,
    /// Mapped, and copied page by page where the guest writes.
    Mapped,
}

impl MemoryInit {
    /// How it is done with so many bytes of data.
    pub(super) const fn of(data_bytes: u64) -> Self {
        if data_bytes <= COPIED_BYTES_MAX { Self::Copied } else { Self::Mapped }
    }

    /// Mappings of the kernel that each memory takes beside one for the guest, as was counted.
    pub(super) const fn mappings(self) -> usize {
        match self {
            Self::Copied => 2,
            Self::Mapped => 3,
        }
    }
}

/// One of something for each way to fill memories.
#[derive(Debug, Clone)]
pub(super) struct ByInit<T> {
    pub(super) copied: T,
    pub(super) mapped: T,
}

impl<T> ByInit<T> {
    /// The one for this way.
    pub(super) const fn of(&self, init: MemoryInit) -> &T {
        match init {
            MemoryInit::Copied => &self.copied,
            MemoryInit::Mapped => &self.mapped,
        }
    }
}

/// The engines of a process. Code made by one does not run on the other.
pub(super) type Engines = ByInit<Engine>;

impl Engines {
    /// Makes both.
    ///
    /// # Errors
    /// When an engine cannot run on this machine.
    pub(super) fn new() -> wasmtime::Result<Self> {
        Ok(Self { copied: engine(MemoryInit::Copied)?, mapped: engine(MemoryInit::Mapped)? })
    }
}

/// Makes an engine: Cranelift for speed, guests interruptible, and no proposal that guests of today's
/// toolchains do not need, because what is off cannot be attacked.
///
/// Several memories in one module stay on: the engine's own code that passes values between the parts of a component
/// needs them, and it panics on such a component without. They are counted together, so they gain a guest nothing.
///
/// Guests are allocated on demand. A pool makes a fresh guest three to four times cheaper (8 µs instead of 36) but
/// gains nothing for guests that are reused, and its slots bound how many may be idle and how many memories and
/// tables they have in all, which one tenant could use up for the others.
pub(super) fn engine(init: MemoryInit) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_threads(false)
        .shared_memory(false)
        .wasm_exceptions(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_multi_memory(true)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .guard_before_linear_memory(true)
        .memory_init_cow(init == MemoryInit::Mapped)
        .debug_info(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES_MAX));
    Engine::new(&config)
}

/// Counts the engines' epochs up, every [`TICK`], while guests run; asleep otherwise.
#[derive(Debug)]
pub(super) struct Clock {
    state: Arc<ClockState>,
    ticker: Thread,
}

#[derive(Debug, Default)]
struct ClockState {
    running: AtomicUsize,
    hurried: AtomicBool,
    stopped: AtomicBool,
}

/// Keeps the clock ticking until it is dropped.
#[derive(Debug)]
pub(super) struct Ticking<'a>(&'a ClockState);

impl Clock {
    /// Starts the ticking thread. It ends after [`Clock::stop`].
    pub(super) fn start(engines: Engines, workers: &Workers) -> std::io::Result<(Self, JoinHandle<()>)> {
        let state = Arc::new(ClockState::default());
        let ticker_state = Arc::clone(&state);
        let worker = workers.watch("the clock that stops guests");
        let handle = thread::Builder::new().name("guest-clock".to_owned()).spawn(move || {
            let _worker = worker;
            tick(&engines, &ticker_state);
        })?;
        Ok((Self { state, ticker: handle.thread().clone() }, handle))
    }

    /// Says that a guest is about to run.
    pub(super) fn ticking(&self) -> Ticking<'_> {
        if self.state.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.ticker.unpark();
        }
        Ticking(&self.state)
    }

    /// Lets the deadline of every guest that runs, now or later, pass within a few ticks.
    pub(super) fn hurry(&self) {
        self.state.hurried.store(true, Ordering::SeqCst);
    }

    /// Ends the ticking thread; guests that still run then are not stopped any more.
    pub(super) fn stop(&self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        self.ticker.unpark();
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ticks within which a guest has had at least `deadline`: one more than fit, because the first may be short.
pub(super) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos()).saturating_add(1);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

fn tick(engines: &Engines, state: &ClockState) {
    while !state.stopped.load(Ordering::SeqCst) {
        if state.running.load(Ordering::SeqCst) == 0 {
            thread::park();
        } else {
            thread::sleep(TICK);
            let ticks = if state.hurried.load(Ordering::SeqCst) { HURRIED_TICKS } else { 1 };
            for _ in 0..ticks {
                engines.copied.increment_epoch();
                engines.mapped.increment_epoch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hurrying_outlasts_the_longest_deadline() {
        assert!(u64::from(HURRIED_TICKS) > ticks(crate::config::DEADLINE_MAX));
    }

    #[test]
    fn a_deadline_is_never_cut_short_by_rounding() {
        assert_eq!(ticks(Duration::from_millis(250)), 26);
        assert_eq!(ticks(Duration::from_millis(251)), 27);
        assert_eq!(ticks(Duration::ZERO), 1);
        assert!(ticks(Duration::MAX) > u64::from(u32::MAX));
    }
}
