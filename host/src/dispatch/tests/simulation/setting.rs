//! What a seed draws before a life begins: the handlers with their policies, the bounds, the partitions and the hosts.

use rand::seq::IndexedRandom;

use super::*;
use crate::dedup::DedupWindow;
use crate::retry::OnFault;

/// Tenants of a life, the platform apart.
const TENANTS: [&str; 4] = ["a", "b", "c", "d"];

/// Types of events; the last one is wanted by nobody.
const TYPES: [&str; 4] = ["order.placed", "order.paid", "cart.opened", "noise"];

/// The header that some handlers order by.
const REGION: &str = "region";

/// What stays the same for a whole life.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) handlers: Vec<(HandlerConfig, Pool)>,
    pub(super) dispatch: DispatchSettings,
    /// Topics of the subscription.
    pub(super) topics: usize,
    /// Partitions of all topics together.
    pub(super) partitions: usize,
    /// Hosts that may run at the same time.
    pub(super) seats: usize,
    /// Guest calls that a host makes at the same time, in each pool.
    pub(super) slots: usize,
    pub(super) deaths_max: u32,
    /// Events of a life.
    pub(super) events: usize,
    /// How many quarters of the hardships are left out.
    pub(super) calm: u32,
    /// Whether lanes can be parked, or stopped until a command.
    pub(super) parks: bool,
    /// Most events of a partition that a host parks.
    pub(super) parked_max: usize,
    /// Whether producers send some events twice.
    pub(super) repeats: bool,
}

impl Setting {
    pub(super) fn draw(random: &mut SmallRng) -> Self {
        let topics = random.random_range(1..=2);
        let handlers: Vec<(HandlerConfig, Pool)> =
            (0..random.random_range(1..=3)).map(|number| drawn_handler(number, random)).collect();
        let dispatch = DispatchSettings {
            in_flight_events_max: random.random_range(4..60),
            in_flight_bytes_max: random.random_range(200..4_000),
            commit_interval: Duration::from_millis(random.random_range(0..500)),
            commit_events_max: random.random_range(1..30),
            hand_over: Duration::from_millis(random.random_range(0..2_000)),
            poll_events_max: random.random_range(1..20),
            ..DispatchSettings::default()
        };
        Self {
            parks: handlers.iter().any(|(config, _)| config.may_stop()),
            parked_max: if random.random_ratio(1, 4) { random.random_range(3..20) } else { 1_000_000 },
            repeats: handlers.iter().any(|(config, _)| config.dedup.is_some()),
            handlers,
            dispatch,
            topics,
            partitions: topics * random.random_range(1..=3),
            seats: random.random_range(1..=3),
            slots: random.random_range(1..=4),
            deaths_max: random.random_range(1..=3),
            events: random.random_range(50..250),
            calm: random.random_range(0..4),
        }
    }

    /// The topics that are read, as hosts know them.
    pub(super) fn sources(&self) -> Vec<Arc<SourceTopic>> {
        (0..self.topics).map(source_topic).collect()
    }

    /// Whether the watch knows of each event of a handler whether it waits in memory.
    pub(super) fn is_simple(&self, handler: usize) -> bool {
        !self.handlers[handler].0.may_park()
    }

    /// The address of a partition by its number.
    pub(super) fn key(&self, partition: usize) -> PartitionKey {
        let within = u32::try_from(partition / self.topics).unwrap();
        PartitionKey {
            topic: partitions::TopicIndex(partition % self.topics),
            partition: PartitionId(within),
        }
    }

    /// The number of a partition by its address.
    pub(super) fn number(&self, key: PartitionKey) -> usize {
        key.partition.0 as usize * self.topics + key.topic.0
    }

    /// Which handlers want an event, told from their patterns in another way than the dispatcher does.
    pub(super) fn wanting(&self, event: &Event) -> Vec<usize> {
        let wants = |config: &HandlerConfig| {
            let scope = match &config.tenants {
                TenantScope::All => event.tenant != Tenant::Platform,
                TenantScope::Platform => event.tenant == Tenant::Platform,
                TenantScope::Only(names) => names.iter().any(|name| *name == event.tenant.as_str()),
            };
            scope && config.events.iter().any(|pattern| pattern.matches(&event.event_type))
        };
        (0..self.handlers.len()).filter(|at| wants(&self.handlers[*at].0)).collect()
    }

    /// The lane of an event of a handler, told in another way than the dispatcher does.
    pub(super) fn lane(&self, handler: usize, event: &Event) -> Lane {
        let source = &event.message.source;
        let order = match &self.handlers[handler].0.order_by {
            OrderBy::Tenant => String::new(),
            OrderBy::Key => event.key.as_ref().map_or_else(|| "-".to_owned(), |key| format!("={key}")),
            OrderBy::Partition => source.partition.to_string(),
            OrderBy::Header(name) => {
                event.message.headers.get(name).map_or_else(|| "-".to_owned(), |value| format!("={value}"))
            }
            OrderBy::None => format!("{}/{}/{}", source.topic.topic, source.partition, source.offset),
        };
        (handler, event.tenant.as_str().to_owned(), order)
    }

    /// The next event of a partition, or a message that is none.
    pub(super) fn draw_event(&self, partition: usize, offset: u64, random: &mut SmallRng) -> Decoded {
        let key = self.key(partition);
        let mut headers = guesthouse_connector::Headers::new();
        if random.random() {
            headers.insert(REGION, *["eu", "us"].choose(random).unwrap()).unwrap();
        }
        let id = (u128::from(offset) << 8) + partition as u128 + 1;
        let source = Source {
            topic: source_topic(key.topic.0),
            partition: key.partition,
            offset: Offset(offset),
            message_id: id,
            timestamp_micros: offset,
            origin_timestamp_micros: offset,
        };
        let payload = Bytes::from(format!("{{\"n\":{id}}}"));
        let message = Message { source, headers: RawHeaders(headers.encode()), payload: payload.clone() };
        if random.random_ratio(1, 40) {
            let error = DecodeError::new(DecodeErrorCode::JsonSyntax, "not an envelope");
            return Err(Box::new((message, error)));
        }
        Ok(SharedEvent::from(Event {
            message,
            id: ByteString::from(uuid::Uuid::from_u128(id).to_string()),
            event_type: ByteString::from_static(TYPES.choose(random).unwrap()),
            schema_version: 1,
            tenant: match random.random_range(0..=TENANTS.len() * 2) {
                0 => Tenant::Platform,
                n => Tenant::Named(ByteString::from_static(TENANTS[n % TENANTS.len()])),
            },
            key: random.random::<bool>().then(|| ByteString::from_static(["k", "l"].choose(random).unwrap())),
            correlation_id: None,
            causation_id: None,
            actor: None,
            for_handler: None,
            traceparent: None,
            timestamp_micros: 0,
            content_type: "application/json".into(),
            payload,
        }))
    }
}

fn source_topic(number: usize) -> Arc<SourceTopic> {
    Arc::new(SourceTopic { stream: "s".to_owned(), topic: format!("t{number}") })
}

fn drawn_policy(order_by: &OrderBy, random: &mut SmallRng) -> FailurePolicy {
    match random.random_range(0..5) {
        0 if *order_by != OrderBy::None => FailurePolicy::Block,
        1 | 2 => FailurePolicy::Park,
        _ => FailurePolicy::Skip,
    }
}

fn drawn_dedup(random: &mut SmallRng) -> Option<DedupWindow> {
    random.random_ratio(1, 3).then(|| DedupWindow { events_max: random.random_range(1..60), age_max: None })
}

fn drawn_retry(random: &mut SmallRng) -> RetryPolicy {
    let on_fault = |random: &mut SmallRng| {
        if random.random_ratio(1, 4) { OnFault::DeadLetter } else { OnFault::Retry }
    };
    RetryPolicy {
        attempts_max: random.random_range(1..=5),
        backoff_min: Duration::from_millis(random.random_range(10..500)),
        backoff_max: Duration::from_millis(random.random_range(500..20_000)),
        in_memory_max: Duration::from_millis(if random.random_ratio(1, 4) { 400 } else { 20_000 }),
        age_max: random.random_ratio(1, 4).then(|| Duration::from_millis(random.random_range(1..60_000))),
        on_trap: on_fault(random),
        on_timeout: on_fault(random),
        on_limit: OnFault::Retry,
    }
}

fn drawn_handler(number: usize, random: &mut SmallRng) -> (HandlerConfig, Pool) {
    let orders = ["tenant", "key", "partition", "header:region", "none"];
    let order_by: OrderBy = orders.choose(random).unwrap().parse().unwrap();
    let retry = drawn_retry(random);
    let breaker = BreakerPolicy {
        attempts_min: random.random_range(2..30),
        on_failing: if random.random_ratio(1, 3) { OnFailing::DeadLetter } else { OnFailing::Pause },
        ..BreakerPolicy::default()
    };
    let tenants = match random.random_range(0..6) {
        0 => TenantScope::Platform,
        1 => TenantScope::Only(["a", "b"].into_iter().map(ByteString::from_static).collect()),
        _ => TenantScope::All,
    };
    let events: &[&str] =
        [&["*"][..], &["order.*"], &["order.placed", "cart.opened"]].choose(random).unwrap();
    let config = HandlerConfig {
        name: HandlerName::new(&format!("handler-{number}")).unwrap(),
        tenants,
        events: events.iter().filter(|pattern| **pattern != "noise").map(|p| p.parse().unwrap()).collect(),
        grants: Grants { state: random.random_ratio(1, 4), ..Grants::default() },
        isolation: if random.random_ratio(1, 5) { Isolation::Fresh } else { Isolation::Reuse },
        retry,
        breaker,
        on_failure: drawn_policy(&order_by, random),
        dedup: drawn_dedup(random),
        ..handler(order_by, random.random_range(1..20))
    };
    (config, *Pool::ALL.choose(random).unwrap())
}
