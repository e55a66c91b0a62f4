//! Jobs that wait to be sent: brought together by partition, until a request is full or has waited long enough.

use tokio::time::Instant;

use super::Job;
use super::requests::request_bytes;
use crate::config::Batching;

/// How many jobs wait at most; with the last one all of them are due.
pub(super) const JOBS_MAX: usize = 256;

/// Jobs by partition, those first that came first.
#[derive(Debug)]
pub(super) struct Waiting {
    batching: Batching,
    groups: Vec<Group>,
    jobs_count: usize,
}

/// The jobs of one partition in the order in which they came.
#[derive(Debug)]
struct Group {
    jobs: Vec<Job>,
    messages: usize,
    bytes: usize,
    due: Instant,
}

impl Waiting {
    pub(super) fn new(batching: Batching) -> Self {
        Self { batching, groups: Vec::new(), jobs_count: 0 }
    }

    /// How many more jobs may come.
    pub(super) fn room(&self) -> usize {
        JOBS_MAX.saturating_sub(self.jobs_count)
    }

    pub(super) fn push(&mut self, job: Job, now: Instant) {
        let group = self.groups.iter_mut().find(|group| group.is_for(&job));
        let group = match group {
            Some(group) => group,
            None => self.groups.push_mut(Group::starting(now + self.batching.linger)),
        };
        group.add(job);
        if group.messages >= self.batching.messages_max || group.bytes >= self.batching.bytes_max {
            group.due = group.due.min(now);
        }
        self.jobs_count += 1;
        if self.room() == 0 {
            self.groups.iter_mut().for_each(|group| group.due = group.due.min(now));
        }
    }

    /// All jobs of the partition whose jobs have waited longest, if they are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<Job>> {
        let place = self.groups.iter().position(|group| group.due <= now)?;
        let jobs = self.groups.remove(place).jobs;
        self.jobs_count -= jobs.len();
        Some(jobs)
    }

    /// When something is due; `None` while nothing waits.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.groups.iter().map(|group| group.due).min()
    }
}

impl Group {
    fn starting(due: Instant) -> Self {
        Self { jobs: Vec::new(), messages: 0, bytes: 0, due }
    }

    fn is_for(&self, job: &Job) -> bool {
        self.jobs.first().is_some_and(|first| first.partition == job.partition && first.to.is_same(&job.to))
    }

    fn add(&mut self, job: Job) {
        self.messages += job.messages.len();
        self.bytes += job.messages.iter().map(request_bytes).sum::<usize>();
        self.jobs.push(job);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::address::{PartitionId, TopicAddress};
    use crate::client::Target;
    use crate::headers::Headers;
    use crate::message::{OutgoingMessage, Partitioning};

    const LINGER: Duration = Duration::from_millis(20);

    fn job(topic: &str, partition: u32, payloads: &[usize]) -> Job {
        let partition = PartitionId(partition);
        let message = |bytes: &usize| OutgoingMessage {
            id: 1,
            partition: Partitioning::Partition(partition),
            payload: Bytes::from(vec![0; *bytes]),
            headers: Headers::new(),
        };
        let (done, _) = oneshot::channel();
        let to = Arc::new(Target::new(&TopicAddress::new("stream", topic)).unwrap());
        Job { to, partition, messages: Arc::new(payloads.iter().map(message).collect()), confirmed: 0, done }
    }

    fn waiting(linger: Duration) -> Waiting {
        Waiting::new(Batching { linger, messages_max: 4, bytes_max: 2_000 })
    }

    fn counts(jobs: Option<Vec<Job>>) -> Option<Vec<usize>> {
        jobs.map(|jobs| jobs.iter().map(|job| job.messages.len()).collect())
    }

    #[test]
    fn without_linger_everything_is_due_at_once_by_partition_in_order() {
        let (mut waiting, now) = (waiting(Duration::ZERO), Instant::now());
        assert_eq!(waiting.next_due(), None);
        waiting.push(job("a", 0, &[1]), now);
        waiting.push(job("a", 1, &[1, 1]), now);
        waiting.push(job("b", 0, &[1, 1, 1]), now);
        waiting.push(job("a", 0, &[1, 1, 1, 1]), now);
        assert_eq!(waiting.next_due(), Some(now));
        assert_eq!(counts(waiting.take_due(now)), Some(vec![1, 4]));
        assert_eq!(counts(waiting.take_due(now)), Some(vec![2]));
        assert_eq!(counts(waiting.take_due(now)), Some(vec![3]));
        assert_eq!(counts(waiting.take_due(now)), None);
        assert_eq!(waiting.room(), JOBS_MAX);
    }

    #[test]
    fn what_comes_first_decides_how_long_a_partition_waits() {
        let (mut waiting, now) = (waiting(LINGER), Instant::now());
        waiting.push(job("a", 0, &[1]), now);
        waiting.push(job("a", 1, &[1]), now + LINGER / 2);
        waiting.push(job("a", 0, &[1]), now + LINGER / 2);
        assert_eq!(waiting.next_due(), Some(now + LINGER));
        assert_eq!(counts(waiting.take_due(now + LINGER / 2)), None);
        assert_eq!(counts(waiting.take_due(now + LINGER)), Some(vec![1, 1]));
        assert_eq!(counts(waiting.take_due(now + LINGER)), None);
        assert_eq!(waiting.next_due(), Some(now + LINGER / 2 + LINGER));
    }

    #[test]
    fn a_full_partition_waits_no_longer_and_the_others_do() {
        let (mut waiting, now) = (waiting(LINGER), Instant::now());
        waiting.push(job("a", 0, &[1]), now);
        waiting.push(job("a", 1, &[1, 1, 1]), now);
        waiting.push(job("a", 2, &[1_990]), now);
        assert_eq!(counts(waiting.take_due(now)), Some(vec![1]), "full by bytes");
        assert_eq!(counts(waiting.take_due(now)), None);
        waiting.push(job("a", 1, &[1]), now);
        assert_eq!(counts(waiting.take_due(now)), Some(vec![3, 1]), "full by messages");
        assert_eq!(counts(waiting.take_due(now)), None);
    }

    #[test]
    fn when_no_more_may_come_nobody_waits_for_company() {
        let (mut waiting, now) = (waiting(LINGER), Instant::now());
        for place in 0..JOBS_MAX {
            assert_eq!(counts(waiting.take_due(now)), None);
            waiting.push(job("a", u32::try_from(place).unwrap(), &[1]), now);
        }
        assert_eq!(waiting.room(), 0);
        while waiting.take_due(now).is_some() {}
        assert_eq!((waiting.room(), waiting.next_due()), (JOBS_MAX, None));
    }
}
