//! A call of guests that use state: which of its events are done already, and one transaction for all others.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Session;
use super::session::unavailable;
use crate::event::Tenant;
use crate::identity::EventIdentity;
use crate::outcome::{Emit, Outcome};
use crate::sandbox::{AdmittedComponent, Answer, CallEvent, GuestSpec};
use crate::state::key::{MarkId, MarkPlace, Namespace};
use crate::state::{Applied, StateError, StateStore, mark};

/// One call's dealings with the state store.
#[derive(Debug)]
pub(in crate::sandbox) struct StatefulCall {
    store: Arc<dyn StateStore>,
    /// Absent while a guest has it.
    session: Option<Box<Session>>,
    spec: Arc<GuestSpec>,
    events: Vec<EventState>,
}

#[derive(Debug)]
struct EventState {
    id: MarkId,
    done: Done,
}

/// Whether an event is done.
#[derive(Debug)]
enum Done {
    /// It is not, so far.
    No,
    /// It was, in an earlier call, with these emits.
    Before(Vec<Emit>),
    /// It is, in this call, and this is its mark.
    Now(Vec<u8>),
}

impl StatefulCall {
    /// Looks at the state of a handler and tenant, and for the marks of these events.
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
        let spec = &component.spec;
        let handler = spec.handler.as_str();
        let ids: Vec<MarkId> = events.iter().map(|event| mark_id(handler, event)).collect();
        let namespace = Namespace::new(tenant.as_str(), handler);
        let opened = store.open(&namespace, &ids, spec.limits.deadline).map_err(|error| fault(&error))?;
        let event = |(id, mark): (MarkId, Option<Vec<u8>>)| -> Result<EventState, StateError> {
            let done = mark.map_or(Ok(Done::No), |mark| mark::decode(&mark).map(Done::Before))?;
            Ok(EventState { id, done })
        };
        let events = ids.into_iter().zip(opened.marks).map(event).collect::<Result<_, _>>();
        let events = events.map_err(|error| fault(&error))?;
        let session = Session::new(Arc::clone(&store), namespace, &spec.limits, opened.usage);
        Ok(Self { store, session: Some(Box::new(session)), spec: Arc::clone(spec), events })
    }

    /// What an event came to in an earlier call: it must not run again.
    pub(in crate::sandbox) fn done_before(&self, position: usize) -> Option<Outcome> {
        match &self.events.get(position)?.done {
            Done::Before(emits) => Some(Outcome::Done(emits.clone())),
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
        if let (Some(session), Some(event)) = (&mut self.session, self.events.get_mut(position)) {
            session.keep_event();
            event.done = Done::Now(mark);
        }
        let is_full = self.session.as_ref().is_none_or(|session| session.is_full());
        (answer, if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Applies what the events of this call wrote. If that fails nothing of the call counts, and all that ran in it
    /// runs again.
    pub(in crate::sandbox) fn finish(mut self, answers: Vec<(usize, Answer)>) -> Vec<(usize, Answer)> {
        let Some(session) = self.session.take() else { return answers };
        let marks = self.events.iter().filter_map(|event| match &event.done {
            Done::Now(mark) => Some((event.id.clone(), mark.clone())),
            Done::No | Done::Before(_) => None,
        });
        let Some(transaction) = session.into_transaction(marks.collect()) else { return answers };
        match self.store.apply(transaction) {
            Ok(Applied::Whole) => answers,
            Ok(Applied::Stale) => self.again(&Answer::NotRun),
            Err(error) => self.again(&Answer::Ended(fault(&error))),
        }
    }

    fn again(self, done: &Answer) -> Vec<(usize, Answer)> {
        let answer = |event: EventState| match event.done {
            Done::Before(emits) => Answer::Ended(Outcome::Done(emits)),
            Done::Now(_) => done.clone(),
            Done::No => Answer::NotRun,
        };
        self.events.into_iter().map(answer).enumerate().collect()
    }
}

fn mark_id(handler: &str, event: &CallEvent) -> MarkId {
    let message = &event.event.message;
    let (topic, partition) = (&message.source.topic, message.source.partition.0);
    MarkId {
        place: MarkPlace::new(handler, &topic.stream, &topic.topic, partition),
        offset: message.source.offset.0,
        event: EventIdentity::of(message).as_u128(),
    }
}

fn fault(error: &StateError) -> Outcome {
    Outcome::HostFault { reason: unavailable(error) }
}
