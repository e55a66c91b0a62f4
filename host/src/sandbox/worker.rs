//! The threads that run guests.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use guesthouse_broker::workers::{Workers, survive};

use crate::crash_journal::CrashJournal;
use crate::handler::HandlerName;
use crate::outcome::Outcome;
use crate::sandbox::arena::Arena;
use crate::sandbox::engine::{Clock, Ticking};
use crate::sandbox::guest::Guest;
use crate::sandbox::keyvalue::StatefulCall;
use crate::sandbox::pool::{PerPool, Pool};
use crate::sandbox::queue::CallQueue;
use crate::sandbox::tenancy::{Tenancies, Tenancy};
use crate::sandbox::{
    AdmittedComponent, Answer, CallEvent, CallReport, CallResult, GuestCall, Isolation, World, text,
};

use crate::state::StateStore;

/// Guests give way to the threads that poll, commit and beat, and those that may wait to those that do not: there
/// are many of them, and together they would take the processor from the few others.
const NICENESS: PerPool<i32> = PerPool { computing: 10, waiting: 19 };
/// A guest's own stack and as much again, several times over, for the host functions that it calls.
const STACK_BYTES: usize = 4 << 20;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) queues: PerPool<CallQueue>,
    pub(super) clock: Clock,
    pub(super) tenancies: Arc<Tenancies>,
    /// The threads of the sandbox, and which of them died.
    pub(super) workers: Workers,
    /// The state of handlers, once it is open.
    pub(super) state: OnceLock<Arc<dyn StateStore>>,
    /// Where it is on record which events are in guests, once it is open.
    pub(super) journal: OnceLock<Arc<CrashJournal>>,
}

/// Starts one thread of a pool, with its number there and its slot in the crash journal. It ends when the pool's queue
/// is closed, after the call it runs, and gives back those that it finds then.
pub(super) fn spawn(
    pool: Pool,
    (number, slot): (usize, usize),
    workshop: Arc<Workshop>,
) -> std::io::Result<JoinHandle<()>> {
    let name = match pool {
        Pool::Computing => format!("guest-{number}"),
        Pool::Waiting => format!("guest-wait-{number}"),
    };
    let worker = workshop.workers.watch(format!("the thread {name} of guests"));
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
        let _worker = worker;
        let niceness = *NICENESS.of(pool);
        if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness) {
            survive(|| tracing::warn!(%error, "guests run at normal priority: it cannot be lowered"));
        }
        let mut desk = Desk { slot, arena: Arena::default(), marks: Vec::new() };
        while let Some(call) = next_call(&workshop, pool, slot) {
            if workshop.queues.of(pool).is_closed() {
                give_back(&workshop, call);
            } else {
                answer(&workshop, call, &mut desk);
            }
        }
    })
}

/// Waits for the next call of a thread, out of any meanwhile.
fn next_call(workshop: &Workshop, pool: Pool, slot: usize) -> Option<GuestCall> {
    let queue = workshop.queues.of(pool);
    queue.try_pop().or_else(|| {
        if let Some(journal) = workshop.journal.get() {
            journal.leave(slot);
        }
        queue.pop()
    })
}

/// Reports that a call was not run.
fn give_back(workshop: &Workshop, call: GuestCall) {
    let reason = "the sandbox was shut down before the call ran".to_owned();
    Unanswered::new(workshop, call).send(CallResult::Failed(Outcome::HostFault { reason }), 0);
}

/// What belongs to one thread.
struct Desk {
    /// Its slot in the crash journal.
    slot: usize,
    arena: Arena,
    /// Room for the marks of a call.
    marks: Vec<u8>,
}

fn answer(workshop: &Workshop, call: GuestCall, desk: &mut Desk) {
    let unanswered = Unanswered::new(workshop, call);
    let call = &unanswered.call;
    let handler = &call.component.spec().handler;
    let journal = workshop.journal.get();
    let in_call = journal.map(|journal| journal.enter(desk.slot, handler, &call.events, &mut desk.marks));
    let (result, memory_peak_bytes) = guarded(handler, || Run::new(workshop, call).run(&mut desk.arena));
    drop(in_call);
    unanswered.send(result, memory_peak_bytes);
}

/// Runs a call. A panic is the host's fault and ends here, so that the thread goes on.
fn guarded(handler: &HandlerName, run: impl FnOnce() -> (CallResult, u64)) -> (CallResult, u64) {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let reason = text::reason(&format!("the host failed while it ran a guest: {}", message(&*panic)));
        survive(|| tracing::error!(%handler, reason, "a call of a guest panicked"));
        (CallResult::Failed(Outcome::HostFault { reason }), 0)
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown panic")
}

/// A call that owes a report.
struct Unanswered<'a> {
    workshop: &'a Workshop,
    call: GuestCall,
    began: Instant,
}

impl<'a> Unanswered<'a> {
    fn new(workshop: &'a Workshop, call: GuestCall) -> Self {
        Self { workshop, call, began: Instant::now() }
    }

    fn send(self, result: CallResult, memory_peak_bytes: u64) {
        let Self { workshop, call: GuestCall { id, component, tenancy, pool, reply, events }, began } = self;
        workshop.queues.of(pool).answered(&tenancy);
        // Dropped before the report, so that its receiver holds the last references.
        drop((component, events));
        let report = CallReport { id, result, duration: began.elapsed(), memory_peak_bytes };
        if reply.try_send(report).is_err() {
            survive(|| tracing::debug!(call = id.0, "nobody takes the report of a call"));
        }
    }
}

/// One call while it runs.
struct Run<'a> {
    workshop: &'a Workshop,
    component: &'a AdmittedComponent,
    tenancy: &'a Arc<Tenancy>,
    events: &'a [CallEvent],
    guest: Option<Guest>,
    /// Its dealings with the state store, when its handler keeps marks.
    state: Option<StatefulCall>,
    memory_peak_bytes: u64,
    _ticking: Ticking<'a>,
}

impl<'a> Run<'a> {
    fn new(workshop: &'a Workshop, call: &'a GuestCall) -> Self {
        Self {
            workshop,
            component: &call.component,
            tenancy: &call.tenancy,
            events: &call.events,
            guest: None,
            state: None,
            memory_peak_bytes: 0,
            _ticking: workshop.clock.ticking(),
        }
    }

    fn run(mut self, arena: &mut Arena) -> (CallResult, u64) {
        let result = match self.component.keeps_marks() {
            true => self.with_marks(arena),
            false if self.shares_calls() => self.run_in_guest(self.events, arena),
            false => Ok(self.one_by_one(arena)),
        };
        if let Some(guest) = self.guest.take() {
            self.workshop.tenancies.keep(self.tenancy, guest);
        }
        (result.map_or_else(CallResult::Failed, CallResult::Answered), self.memory_peak_bytes)
    }

    fn shares_calls(&self) -> bool {
        let is_reused_batch = (self.component.world(), self.isolation()) == (World::Batch, Isolation::Reuse);
        is_reused_batch && self.component.shares_calls()
    }

    /// Runs the events that are not done yet, and applies what they wrote and that they are done before any of them is
    /// answered. Those that use state run one by one, since what a guest asks of the host in a batch belongs to none.
    fn with_marks(&mut self, arena: &mut Arena) -> Result<Vec<(usize, Answer)>, Outcome> {
        let store = self.workshop.state.get();
        self.state = Some(StatefulCall::open(store, self.component, self.tenancy.tenant(), self.events)?);
        let answers = if self.shares_calls() { self.together(arena)? } else { self.one_by_one(arena) };
        Ok(match self.state.take() {
            Some(state) => state.finish(answers),
            None => answers,
        })
    }

    /// Runs the events that are not done yet in one call.
    fn together(&mut self, arena: &mut Arena) -> Result<Vec<(usize, Answer)>, Outcome> {
        let mut unrun = Vec::with_capacity(self.events.len());
        let mut stopped = false;
        for position in 0..self.events.len() {
            let answer = match self.state.as_ref().and_then(|state| state.answer_without_running(position)) {
                _ if stopped => Some(Answer::NotRun),
                Some((answer, flow)) => {
                    stopped = flow.is_break();
                    Some(answer)
                }
                None => None,
            };
            unrun.push(answer);
        }
        let fresh = self.events.iter().zip(&unrun).filter(|(_, unrun)| unrun.is_none());
        let fresh: Vec<CallEvent> = fresh.map(|(event, _)| event.clone()).collect();
        let ran = if fresh.is_empty() { Vec::new() } else { self.run_in_guest(&fresh, arena)? };
        Ok(self.put_together(unrun, ran))
    }

    /// The answers of all events, from those of the ones that did not run and those of the ones that did.
    fn put_together(
        &mut self,
        unrun: Vec<Option<Answer>>,
        ran: Vec<(usize, Answer)>,
    ) -> Vec<(usize, Answer)> {
        let (mut ran, mut fresh) = (ran.into_iter().peekable(), 0);
        let mut answers = Vec::new();
        for ((position, event), unrun) in self.events.iter().enumerate().zip(unrun) {
            let answer = unrun.or_else(|| {
                let answer = ran.next_if(|(index, _)| *index == fresh).map(|(_, answer)| answer);
                fresh += 1;
                match &mut self.state {
                    Some(state) => state.take_answer(position, event, answer).0,
                    None => answer,
                }
            });
            answers.extend(answer.map(|answer| (position, answer)));
        }
        answers
    }

    /// Runs the events in order, each in a call of its own. A failure ends its lane, and a stop ends the call.
    fn one_by_one(&mut self, arena: &mut Arena) -> Vec<(usize, Answer)> {
        let mut answers = Vec::new();
        let mut failed_lanes = Vec::new();
        let mut stopped = false;
        for (position, event) in self.events.iter().enumerate() {
            if stopped || failed_lanes.contains(&event.lane) {
                answers.push((position, Answer::NotRun));
                continue;
            }
            let (answer, flow) = self.run_one(position, event, arena);
            stopped = flow.is_break();
            if matches!(&answer, Some(Answer::Ended(outcome)) if !outcome.is_done()) {
                failed_lanes.push(event.lane);
            }
            answers.extend(answer.map(|answer| (position, answer)));
        }
        answers
    }

    /// Runs one event, unless it was done in an earlier call, and says whether the next ones may run in this one.
    fn run_one(
        &mut self,
        position: usize,
        event: &CallEvent,
        arena: &mut Arena,
    ) -> (Option<Answer>, ControlFlow<()>) {
        let unrun = self.state.as_ref().and_then(|state| state.answer_without_running(position));
        if let Some((answer, flow)) = unrun {
            return (Some(answer), flow);
        }
        let answer = match self.run_in_guest(std::slice::from_ref(event), arena) {
            Ok(answers) => answers.into_iter().next().map(|(_, answer)| answer),
            Err(outcome) => return (Some(Answer::Ended(outcome)), ControlFlow::Break(())),
        };
        match &mut self.state {
            Some(state) => state.take_answer(position, event, answer),
            None => (answer, ControlFlow::Continue(())),
        }
    }

    /// Runs events in one call. The guest is kept for the next ones unless it failed, or lived long enough.
    fn run_in_guest(
        &mut self,
        events: &[CallEvent],
        arena: &mut Arena,
    ) -> Result<Vec<(usize, Answer)>, Outcome> {
        let mut guest = self.guest()?;
        if let Some(state) = &mut self.state {
            guest.lend(state.lend());
        }
        let result = guest.run(events, arena);
        if let Some(state) = &mut self.state {
            state.take_back(guest.take_back());
        }
        self.memory_peak_bytes = self.memory_peak_bytes.max(guest.memory_bytes());
        if result.is_ok() && self.isolation() == Isolation::Reuse && guest.may_live_on() {
            self.guest = Some(guest);
        }
        result
    }

    /// A guest for this component and tenant, at the beginning of its deadline.
    fn guest(&mut self) -> Result<Guest, Outcome> {
        let idle = self.guest.take().or_else(|| match self.isolation() {
            Isolation::Reuse => self.workshop.tenancies.take(self.tenancy, self.component.id),
            Isolation::Fresh => None,
        });
        match idle {
            Some(mut guest) => {
                guest.renew_deadline();
                Ok(guest)
            }
            None => Guest::start(self.component, self.tenancy.tenant()),
        }
    }

    fn isolation(&self) -> Isolation {
        self.component.spec().isolation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_host_is_its_fault_and_is_not_passed_on() {
        let handler = HandlerName::new("fixture").unwrap();
        let (result, _) = guarded(&handler, || panic!("a\nbug {}", 7));
        let CallResult::Failed(Outcome::HostFault { reason }) = result else { panic!("{result:?}") };
        assert_eq!(reason, "the host failed while it ran a guest: a\\nbug 7");
    }
}
