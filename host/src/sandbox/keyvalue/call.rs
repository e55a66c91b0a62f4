//! A call of a handler that keeps done-marks: which of its events are done already, and one transaction for all others.

use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::{HashSet, HashSetExt};

use super::Session;
use super::session::unavailable;
use crate::event::Tenant;
use crate::identity::{EventIdentity, EventKey};
use crate::outcome::{Emit, Outcome};
use crate::sandbox::call::DoneBefore;
use crate::sandbox::component::StateUse;
use crate::sandbox::{AdmittedComponent, Answer, CallEvent, GuestSpec};
use crate::state::key::{MarkId, MarkPlace, Namespace, SeenPlace};
use crate::state::seen::{Remember, Seen};
use crate::state::{Applied, StateError, StateStore, Transaction, mark, now_micros};

/// One call's dealings with the state store.
#[derive(Debug)]
pub(in crate::sandbox) struct StatefulCall {
    store: Arc<dyn StateStore>,
    state: StateUse,
    /// Absent while a guest has it, and when the guests use no state.
    session: Option<Box<Session>>,
    spec: Arc<GuestSpec>,
    /// Whose events they are.
    tenant: Tenant,
    events: Vec<EventState>,
}

#[derive(Debug)]
struct EventState {
    id: MarkId,
    key: EventKey,
    done: Done,
}

/// Whether an event is done.
#[derive(Debug)]
enum Done {
    /// It is not, so far.
    No,
    /// It was, in an earlier call.
    Before(DoneBefore),
    /// An event before it in this call is another copy of it.
    Twin,
    /// It is, in this call, and this is its mark.
    Now(Vec<u8>),
}

impl StatefulCall {
    /// Looks at the state of a handler and tenant, and for which of these events it is done.
    ///
    /// # Errors
    /// [`Outcome::HostFault`] when the store is not available.
    pub(in crate::sandbox) fn open(
        store: Option<&Arc<dyn StateStore>>,
        component: &AdmittedComponent,
        tenant: &Tenant,
        events: &[CallEvent],
    ) -> Result<Self, Outcome> {
        let Some(store) = store.cloned() else {
            return Err(Outcome::HostFault { reason: "no state store is open".to_owned() });
        };
        let (spec, state) = (&component.spec, component.facts.state);
        let handler = spec.handler.as_str();
        let (ids, keys): (Vec<MarkId>, Vec<EventKey>) =
            events.iter().map(|event| names_of(handler, event)).unzip();
        let namespace = Namespace::new(tenant.as_str(), handler);
        let opened = store.open(&namespace, &ids, spec.limits.deadline).map_err(|error| fault(&error))?;
        let mut done = opened.marks.into_iter().zip(&ids).map(by_mark).collect::<Result<Vec<_>, _>>();
        if let (Some(window), Ok(done)) = (&spec.dedup, &mut done) {
            let place = SeenPlace::new(handler, tenant.as_str());
            let seen = store.seen(&place, &keys, spec.limits.deadline).map_err(|error| fault(&error))?;
            recognise(done, &ids, &seen, window.oldest(now_micros())).map_err(|error| fault(&error))?;
            find_twins(done, &keys);
        }
        let event = |((id, key), done)| EventState { id, key, done };
        let events = ids.into_iter().zip(keys).zip(done.map_err(|error| fault(&error))?).map(event).collect();
        let session = (state == StateUse::Possible)
            .then(|| Box::new(Session::new(Arc::clone(&store), namespace, &spec.limits, opened.usage)));
        Ok(Self { store, state, session, spec: Arc::clone(spec), tenant: tenant.clone(), events })
    }

    /// The answer of an event that must not run, or not in this call, and whether the next ones may run in it.
    pub(in crate::sandbox) fn answer_without_running(
        &self,
        position: usize,
    ) -> Option<(Answer, ControlFlow<()>)> {
        match &self.events.get(position)?.done {
            Done::Before(before) => Some((Answer::DoneBefore(before.clone()), ControlFlow::Continue(()))),
            // In the next call it is known what became of the other copy.
            Done::Twin => Some((Answer::NotRun, ControlFlow::Break(()))),
            Done::No | Done::Now(_) => None,
        }
    }

    /// The view for the guest that runs the next event.
    pub(in crate::sandbox) fn lend(&mut self) -> Option<Box<Session>> {
        let mut session = self.session.take()?;
        session.begin_event();
        Some(session)
    }

    /// Takes the view back, whatever became of the guest.
    pub(in crate::sandbox) fn take_back(&mut self, session: Option<Box<Session>>) {
        self.session = session;
    }

    /// Keeps what an event wrote if it is done, and says whether the next ones may run in this call. An event whose
    /// emits cannot be published is not done: what it wrote must not outlive it.
    pub(in crate::sandbox) fn take_answer(
        &mut self,
        position: usize,
        event: &CallEvent,
        answer: Option<Answer>,
    ) -> (Option<Answer>, ControlFlow<()>) {
        let emits: &[Emit] = match &answer {
            None => &[],
            Some(Answer::Ended(Outcome::Done(emits))) => emits,
            Some(_) => return (answer, ControlFlow::Continue(())),
        };
        let rules = self.spec.emits.as_ref();
        if let Some(error) = rules.and_then(|rules| rules.check(&event.event, emits).err()) {
            // The error quotes the guest's own words.
            let reason = self.spec.grants.redactor().reason(&error.to_string());
            let outcome = Outcome::Reject { reason };
            return (Some(Answer::Ended(outcome)), ControlFlow::Continue(()));
        }
        let mark = match mark::encode(emits) {
            Ok(mark) => mark,
            Err(error) => return (Some(Answer::Ended(fault(&error))), ControlFlow::Break(())),
        };
        let (uses_state, has_session) = (self.state == StateUse::Possible, self.session.is_some());
        if let Some(event) = self.events.get_mut(position).filter(|_| has_session || !uses_state) {
            self.session.iter_mut().for_each(|session| session.keep_event());
            event.done = Done::Now(mark);
        }
        let is_full = self.session.as_ref().map_or(uses_state, |session| session.is_full());
        (answer, if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Applies what the events of this call wrote, and that they are done. If that fails nothing of the call counts, and
    /// all that ran in it runs again.
    pub(in crate::sandbox) fn finish(mut self, answers: Vec<(usize, Answer)>) -> Vec<(usize, Answer)> {
        let Some(transaction) = self.transaction() else { return answers };
        match self.store.apply(transaction) {
            Ok(Applied::Whole) => answers,
            Ok(Applied::Stale) => self.again(&Answer::NotRun),
            Err(error) => self.again(&Answer::Ended(fault(&error))),
        }
    }

    fn transaction(&mut self) -> Option<Transaction> {
        let done = self.events.iter().filter_map(|event| match &event.done {
            Done::Now(mark) => Some((event.key, (event.id.clone(), mark.clone()))),
            Done::No | Done::Before(_) | Done::Twin => None,
        });
        let (keys, marks): (Vec<EventKey>, Vec<_>) = done.unzip();
        let (handler, tenant) = (self.spec.handler.as_str(), self.tenant.as_str());
        let remember = self.spec.dedup.clone().map(|window| Remember {
            place: SeenPlace::new(handler, tenant),
            keys,
            window,
            now_micros: now_micros(),
        });
        if marks.is_empty() {
            return None;
        }
        match (self.session.take(), self.state) {
            (Some(session), _) => session.into_transaction(marks, remember),
            (None, StateUse::Never) => {
                Some(Transaction::of_marks(Namespace::new(tenant, handler), marks, remember))
            }
            (None, StateUse::Possible) => None,
        }
    }

    fn again(self, done: &Answer) -> Vec<(usize, Answer)> {
        let answer = |event: EventState| match event.done {
            Done::Before(before) => Answer::DoneBefore(before),
            Done::Now(_) => done.clone(),
            Done::No | Done::Twin => Answer::NotRun,
        };
        self.events.into_iter().map(answer).enumerate().collect()
    }
}

/// What the mark of an event says.
fn by_mark((mark, id): (Option<Vec<u8>>, &MarkId)) -> Result<Done, StateError> {
    mark.map_or(Ok(Done::No), |mark| done_before(&mark, id.event))
}

fn done_before(mark: &[u8], identity: u128) -> Result<Done, StateError> {
    let identity = EventIdentity::from_u128(identity);
    Ok(Done::Before(DoneBefore { identity, emits: mark::decode(mark)? }))
}

/// Finds out which events are copies of such as are remembered. The copy that was handled answers for its own emits, so
/// without its mark nothing is known to be owed; and without its own mark an event has come back on purpose.
fn recognise(
    done: &mut [Done],
    ids: &[MarkId],
    seen: &[Option<Seen>],
    oldest: u64,
) -> Result<(), StateError> {
    for ((done, id), seen) in done.iter_mut().zip(ids).zip(seen) {
        let Some(seen) = seen.as_ref().filter(|seen| seen.stamp >= oldest) else { continue };
        *done = match (&done, &seen.mark) {
            (Done::No, Some(mark)) => done_before(mark, seen.identity)?,
            (Done::No, None) if seen.identity != id.event => {
                let identity = EventIdentity::from_u128(seen.identity);
                Done::Before(DoneBefore { identity, emits: Vec::new() })
            }
            _ => continue,
        };
    }
    Ok(())
}

/// Finds out which events are copies of such as come before them.
fn find_twins(done: &mut [Done], keys: &[EventKey]) {
    let mut before = HashSet::with_capacity(keys.len());
    for (done, key) in done.iter_mut().zip(keys) {
        if matches!(done, Done::No) && !before.insert(*key) {
            *done = Done::Twin;
        }
    }
}

/// The name of an event's mark, and the one that it shares with its copies.
fn names_of(handler: &str, event: &CallEvent) -> (MarkId, EventKey) {
    let message = &event.event.message;
    let (topic, partition) = (&message.source.topic, message.source.partition.0);
    let identity = EventIdentity::of(message);
    let id = MarkId {
        place: MarkPlace::new(handler, &topic.stream, &topic.topic, partition),
        offset: message.source.offset.0,
        event: identity.as_u128(),
    };
    (id, EventKey::of(&event.event, identity))
}

fn fault(error: &StateError) -> Outcome {
    Outcome::HostFault { reason: unavailable(error) }
}
