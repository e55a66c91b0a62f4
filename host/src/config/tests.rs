//! What a configuration may say, and how every mistake in it is told.

mod read_back;
mod texts;

use std::path::PathBuf;
use std::time::Duration;

use guesthouse_connector::{ConnectorMode, Durability};
use secrecy::ExposeSecret;

use super::*;
use crate::codec::{RawCodec, RawEventType, RawTenant};
use crate::dedup::DedupWindow;
use crate::event::Tenant;
use crate::lane::OrderBy;
use crate::retry::{OnFault, RetryPolicy};
use crate::route::TenantScope;
use crate::sandbox::Isolation;
use crate::state::StateSettings;

/// As the platform's documents print it.
const SEED: &str = r#"
events:
  transport: iggy
  iggy:
    mode: embedded  # or "remote"
    serialization: json  # or "bincode"
    topology:
      stream_name: rustok
      domain_partitions: 8
      replication_factor: 1
    embedded:
      data_dir: ./data/iggy
      tcp_port: 8090
      http_port: 3000
    remote:
      addresses:
        - "127.0.0.1:8090"
      protocol: tcp
      username: rustok
      password: ${IGGY_PASSWORD}
      tls_enabled: false
    retention:
      domain_max_age_days: 30
      domain_max_size_gb: 10
      system_max_age_days: 7
      dlq_max_age_days: 365
"#;

const HANDLER: &str = "handlers: [{name: h, component: h.wasm, events: ['*']}]";

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Config::parse(text, Path::new(""), environment)
}

fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    match parse(text, environment) {
        Err(ConfigError::Mistakes(mistakes)) => mistakes.0.iter().map(ToString::to_string).collect(),
        other => panic!("expected mistakes, found {other:?}"),
    }
}

fn mistake(text: &str) -> String {
    let mut all = mistakes(text, &[]);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn same(left: &Config, right: &Config) {
    assert_eq!(format!("{left:#?}"), format!("{right:#?}"));
}

#[test]
fn the_default_file_says_what_the_code_does() {
    same(&parse(Config::DEFAULT_YAML, &[]).unwrap(), &Config::default());
    same(&parse("", &[]).unwrap(), &Config::default());
}

#[test]
fn the_handler_in_the_default_files_comments_is_true() {
    let commented = Config::DEFAULT_YAML
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .skip_while(|l| !l.starts_with("- name"));
    let text: String = commented.map(|line| format!("  {line}\n")).collect();
    let written = parse(&format!("handlers:\n{text}"), &[]).unwrap();
    let short = "handlers: [{name: order-totals, component: order-totals.wasm, events: [order.placed]}]";
    same(&written, &parse(short, &[]).unwrap());
}

#[test]
fn the_platforms_block_loads_as_printed() {
    let seed = parse(SEED, &[]).unwrap();
    assert_eq!(seed.connector.embedded.http_port, 3000, "by default nothing is shown over http");
    same(&parse(&SEED.replace("http_port: 3000", "http_port: 0"), &[]).unwrap(), &Config::default());
    let remote =
        parse(&SEED.replace("mode: embedded", "mode: external"), &[("IGGY_PASSWORD", "s3cret")]).unwrap();
    assert_eq!(remote.connector.mode, ConnectorMode::Remote);
    assert_eq!(remote.connector.remote_password.unwrap().expose_secret(), "s3cret");
    let unset = mistake(&SEED.replace("mode: embedded", "mode: remote"));
    assert!(
        unset.contains("events.iggy.remote.password: the environment variable `IGGY_PASSWORD` is not set"),
        "{unset}"
    );
}

#[test]
fn topics_get_their_retention() {
    let config =
        parse("events: {iggy: {topology: {domain_partitions: 3}, retention: {system_max_age_days: 2}}}", &[]);
    let topology = config.unwrap().topology;
    let found: Vec<_> = topology
        .iter()
        .map(|t| (t.name.as_str(), t.partitions, t.age_max.unwrap().as_secs() / 86_400, t.size_bytes_max))
        .collect();
    let expected = [
        ("domain", 3, 30, Some(10_000_000_000)),
        ("system", 3, 2, None),
        ("module-build", 3, 2, None),
        ("dlq", 8, 365, None),
        ("dlq-states", 1, 365, None),
    ];
    assert_eq!(found, expected);
    let persisted: Vec<bool> = topology.iter().map(|t| t.durability == Durability::Persisted).collect();
    assert_eq!(persisted, [false, false, false, true, true]);
}

#[test]
fn batching_is_bounded() {
    let text = "events: {iggy: {batching: {linger: 6s, messages_max: 8193, bytes_max: 1B}}}";
    assert_eq!(
        mistakes(text, &[]),
        [
            "line 1: events.iggy.batching.bytes_max: `1B`: expected a size such as 64MiB, from 1.0 KiB to 32.0 MiB",
            "line 1: events.iggy.batching.linger: `6s`: expected a time with its unit such as 5ms, from 0ms to 5s",
            "line 1: events.iggy.batching.messages_max: `8193`: expected a whole number from 1 to 8192",
        ]
    );
    let batching =
        parse("events: {iggy: {batching: {linger: 3ms, messages_max: 7}}}", &[]).unwrap().connector.batching;
    assert_eq!((batching.linger, batching.messages_max), (Duration::from_millis(3), 7));
}

#[test]
fn all_mistakes_are_reported_with_line_key_value_and_what_is_accepted() {
    let text = "\
events:
  transport: outbox
  iggy:
    mode: embeded
    serialization: bincode
    topology: {domain_partitions: 0}
    retension: {}
handlers:
  - name: Order Totals
    component: x.wasm
    events: ['order.*', 'Order']
    limits: {deadline: 250}
    on_failure: pork
dead_letters: 7
";
    let found = mistakes(text, &[]);
    for expected in [
        "line 2: events.transport: `outbox`: Guesthouse reads from Iggy only, expected iggy",
        "line 4: events.iggy.mode: `embeded`: expected embedded (or bundled) or remote (or external)",
        "line 5: events.iggy.serialization: `bincode`: Bincode was retired and postcard took its place; \
         expected json, messagepack or postcard",
        "line 6: events.iggy.topology.domain_partitions: `0`: expected a whole number from 1 to 1000",
        "line 7: events.iggy.retension: unknown key, did you mean `retention`?",
        "line 12: handlers[0].limits.deadline: `250`: expected a time above zero with its unit, such as 250ms, up to 10m",
        "line 13: handlers[0].on_failure: `pork`: expected skip, park or block",
        "line 14: dead_letters: expected a section with keys",
    ] {
        assert!(found.iter().any(|mistake| mistake == expected), "{expected}\nnot in\n{}", found.join("\n"));
    }
    for start in
        ["line 9: handlers[0].name: `Order Totals` is not", "line 11: handlers[0].events[1]: `Order` is not"]
    {
        assert!(found.iter().any(|mistake| mistake.starts_with(start)), "{start}\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 10, "{}", found.join("\n"));
}

#[test]
fn serializations_that_are_not_built_are_refused_by_name() {
    for (word, expected) in [
        ("raw", "raw is set per subscription"),
        ("xml", "no such serialization; expected json, messagepack or postcard"),
    ] {
        let found = mistake(&format!("events: {{iggy: {{serialization: {word}}}}}"));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn subscriptions_without_a_codec_have_the_serialization_of_all() {
    let text = "\
events: {iggy: {serialization: MessagePack}}
subscriptions: [{name: a}, {name: b, group: b, codec: postcard}]
";
    let config = Config::parse(text, Path::new(""), Vec::new()).unwrap();
    let codecs: Vec<_> = config.subscriptions.iter().map(|subscription| subscription.codec.clone()).collect();
    assert_eq!(codecs, [Codec::Enveloped(Format::MessagePack), Codec::Enveloped(Format::Postcard)]);
    assert!(config.to_yaml_masked().contains("serialization: messagepack"));
}

#[test]
fn unknown_keys_without_a_likely_meaning_list_what_there_is() {
    let found = mistake("dead_letters: {x: 1}");
    assert_eq!(
        found,
        "line 1: dead_letters.x: unknown key, expected one of topic, partitions, parked_suffix"
    );
    assert_eq!(mistake("handler: []"), "line 1: handler: unknown key, did you mean `handlers`?");
}

#[test]
fn the_environment_overrides_and_is_named_in_mistakes() {
    let environment = [
        ("GUESTHOUSE__EVENTS__IGGY__MODE", "remote"),
        ("GUESTHOUSE__EVENTS__IGGY__REMOTE__PASSWORD", "a: ${b}"),
        ("GUESTHOUSE__EVENTS__IGGY__REMOTE__ADDRESSES", "a:1, b:2"),
        ("GUESTHOUSE__HANDLERS__0__BATCH_MAX", "1"),
        ("GUESTHOUSE_TEST", "ignored"),
    ];
    let config = parse(HANDLER, &environment).unwrap();
    assert_eq!(config.connector.mode, ConnectorMode::Remote);
    assert_eq!(config.connector.remote.addresses, ["a:1", "b:2"]);
    assert_eq!(config.connector.remote_password.unwrap().expose_secret(), "a: ${b}");
    assert_eq!(config.handlers[0].batch_max, 1);

    let wrong = [
        ("GUESTHOUSE__EVENTS__IGGY__MOD", "remote"),
        ("GUESTHOUSE__HANDLERS__1__NAME", "x"),
        ("GUESTHOUSE__DISPATCH__DRAIN", "soon"),
    ];
    let found = mistakes(HANDLER, &wrong).join("\n");
    for expected in [
        "environment variable GUESTHOUSE__EVENTS__IGGY__MOD: events.iggy.mod: unknown key, did you mean `mode`?",
        "environment variable GUESTHOUSE__HANDLERS__1__NAME: 1: expected the number of an entry, counted from 0, below 1",
        "environment variable GUESTHOUSE__DISPATCH__DRAIN: dispatch.drain: `soon`: expected a time",
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn numbers_keep_their_spelling_where_a_text_is_meant() {
    let text = "events: {iggy: {mode: remote, remote: {password: 0123}}}\n\
                handlers: [{name: h, component: h.wasm, events: ['*'], tenants: [007, 1e3, true]}]";
    let config = parse(text, &[]).unwrap();
    assert_eq!(config.connector.remote_password.unwrap().expose_secret(), "0123");
    let TenantScope::Only(tenants) = &config.handlers[0].tenants else { panic!("expected a list") };
    assert_eq!(tenants.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["007", "1e3", "true"]);
}

#[test]
fn a_remote_needs_a_password_and_takes_it_from_a_file() {
    let remote = "events: {iggy: {mode: remote, remote: {PASSWORD}}}";
    let found = mistake(&remote.replace("PASSWORD", ""));
    assert!(
        found.contains("remote.password: is missing and has no default; set it, `password_file` or a token"),
        "{found}"
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "s3cret\n").unwrap();
    let text = remote.replace("PASSWORD", "password_file: secret");
    let config = Config::parse(&text, dir.path(), []).unwrap();
    assert_eq!(config.connector.remote_password.unwrap().expose_secret(), "s3cret");
    let found = mistake(&remote.replace("PASSWORD", "password_file: /nowhere/secret"));
    assert!(found.contains("cannot read the secret from /nowhere/secret"), "{found}");
    let found = mistake(&remote.replace("PASSWORD", "password: x, password_file: y"));
    assert!(found.contains("remote.password_file: expected this or `password`, not both"), "{found}");
    let config = Config::parse(&remote.replace("PASSWORD", "token_file: secret"), dir.path(), []).unwrap();
    assert_eq!(config.connector.remote_token.as_ref().unwrap().expose_secret(), "s3cret");
    assert!(!config.to_yaml_masked().contains("s3cret") && !format!("{config:?}").contains("s3cret"));
    let found = mistake(&remote.replace("PASSWORD", "password: x, token: y"));
    assert!(found.contains("remote.token: expected a token or a password, not both"), "{found}");
}

#[test]
fn topics_that_store_repeats_are_read_and_printed() {
    let config = parse("events: {iggy: {embedded: {repeats_stored_in: [orders, '*']}}}", &[]).unwrap();
    assert_eq!(config.connector.repeats_stored_in, ["orders", "*"]);
    let printed = parse(&config.to_yaml_masked(), &[]).unwrap();
    assert_eq!(printed.connector.repeats_stored_in, ["orders", "*"]);
    let found = mistake("events: {iggy: {embedded: {repeats_stored_in: ['']}}}");
    assert!(found.contains("embedded.repeats_stored_in[0]: "), "{found}");
}

#[test]
fn sections_have_two_names_each() {
    let text = "events: {iggy: {mode: external, bundled: {tcp_port: 1}, external: {password: x, addresses: ['a:1']}}}";
    let connector = parse(text, &[]).unwrap().connector;
    assert_eq!((connector.embedded.tcp_port, connector.remote.addresses), (1, vec!["a:1".to_owned()]));
    let found = mistake("events: {iggy: {embedded: {tcp_port: 1}, bundled: {tcp_port: 2}}}");
    assert!(found.contains("bundled: expected this or `embedded`, not both"), "{found}");
}

#[test]
fn a_handlers_secrets_are_read_by_reference() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pin"), "1234\n").unwrap();
    let text = "handlers: [{name: h, component: h.wasm, events: ['*'], grants: [config],
        config: {url: 'https://${HOST}', 7: '007'}, secrets: {token: {env: TOKEN}, pin: {file: pin}}}]";
    let environment = [("TOKEN", "hunter2-hunter2"), ("HOST", "example.com")];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let config = Config::parse(text, dir.path(), environment).unwrap();
    let granted = config.handlers[0].grants.config.as_deref().unwrap();
    let values: Vec<_> = granted.values().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(values, [("7", "007"), ("url", "https://example.com")]);
    assert_eq!(granted.secret_keys().collect::<Vec<_>>(), ["pin", "token"]);
    let redactor = config.handlers[0].grants.redactor();
    assert_eq!(redactor.redact("hunter2-hunter2 1234"), "[secret token] 1234");
    let printed = config.to_yaml_masked();
    assert!(printed.contains("token: '********'") || printed.contains("token: \"********\""), "{printed}");
    assert!(!printed.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{printed}");
}

#[test]
fn secrets_are_never_shown() {
    let text = "
events: {iggy: {mode: remote, remote: {password: hunter2}, embedded: {password: hunter2}}}
sandbox: {state: {store: redis, redis_url: 'redis://:hunter2@localhost'}}";
    let config = parse(text, &[]).unwrap();
    let printed = config.to_yaml_masked();
    assert_eq!(printed.matches("********").count(), 3, "{printed}");
    assert!(!printed.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let text = "
events: {iggy: {topology: {stream_name: 'a: b'}, batching: {linger: 5ms, bytes_max: 1MiB}, retention: {domain_max_size_gb: 3}}}
subscriptions:
  - {name: default, topics: [domain, system]}
  - {name: raw, group: g, topics: [sensors], codec: raw, raw: {tenant: header, event_type: sensor.read}}
handlers:
  - name: a
    component: a.wasm
    events: [order.*, '*']
    tenants: [acme, 7F3C9A52-4B1E-4D6A-9C80-5E2F1AB34D10]
    order_by: header:region
    grants: [log, http, clocks, random, state, config]
    config: {region: eu, 'a b': ''}
    http_hosts: ['https://api.example.com', 'http://[::1]:8080']
    isolation: fresh
    limits: {deadline: 1s 500ms, memory_max: 1GiB, emit_bytes_max: 1000B}
    retry: {age_max: 1h, on_trap: dead-letter, backoff_min: 1ms}
    emit_topics: [audit]
    dedup: {within: 1h}
  - {name: b, component: b.wasm, events: [x], tenants: platform, subscription: raw}
dispatch: {in_flight_bytes_max: 3KiB, drain: 1m, tenant_weights: {acme: 4, platform: 2}}
sandbox:
  workers: 3
  waiting_workers: 5
  state: {path: /var/lib/state.redb}
  ceilings: {deadline: 1m, emits_max: 100}
";
    let config = parse(text, &[]).unwrap();
    let printed = config.to_yaml_masked();
    same(&parse(&printed, &[]).unwrap_or_else(|error| panic!("{error}\n{printed}")), &config);

    let [a, b] = &config.handlers[..] else { panic!("expected two handlers") };
    assert_eq!(
        (&a.order_by, a.isolation, a.grants.log),
        (&OrderBy::Header("region".into()), Isolation::Fresh, true)
    );
    let hosts: Vec<_> = a.grants.http.iter().flat_map(|http| &http.hosts).map(ToString::to_string).collect();
    assert_eq!(hosts, ["https://api.example.com", "http://[::1]:8080"]);
    let retry = RetryPolicy {
        age_max: Some(Duration::from_secs(3_600)),
        on_trap: OnFault::DeadLetter,
        backoff_min: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    assert_eq!(a.retry, retry);
    assert_eq!(a.dedup.as_ref().unwrap().events_max, DedupWindow::EVENTS_MAX);
    assert_eq!(b.dedup, None);
    assert_eq!(a.limits.emit_bytes_max, 1_000);
    assert!(a.tenants.includes(&Tenant::Named("7f3c9a52-4b1e-4d6a-9c80-5e2f1ab34d10".into())));
    assert_eq!((&b.tenants, b.subscription.as_str()), (&TenantScope::Platform, "raw"));
    let raw = RawCodec { tenant: RawTenant::Header, event_type: RawEventType::Fixed("sensor.read".into()) };
    assert_eq!(config.subscriptions[1].codec, Codec::Raw(raw));
}

#[test]
fn state_is_kept_in_a_file_or_in_redis() {
    let state = |text: &str| parse(text, &[("URL", "redis://h:1/2")]).unwrap().sandbox.state;
    let StateSettings::Redis { url, url_file: None } =
        state("sandbox: {state: {store: redis, redis_url: '${URL}'}}")
    else {
        panic!("expected Redis")
    };
    assert_eq!(url.expose_secret(), "redis://h:1/2");
    // What does not count need not be readable.
    let StateSettings::Embedded { path } =
        state("sandbox: {state: {path: a.redb, redis_url: '${UNSET}', redis_url_file: /nowhere}}")
    else {
        panic!("expected a file")
    };
    assert_eq!(path, PathBuf::from("a.redb"));
    let found = mistake("sandbox: {state: {store: redis}}");
    assert!(found.contains("sandbox.state.redis_url: is missing, expected redis://"), "{found}");
    let found = mistake("sandbox: {state: {store: sqlite}}");
    assert!(found.contains("expected embedded or redis"), "{found}");
}

#[test]
fn paths_start_at_the_configuration() {
    let config = Config::parse(HANDLER, Path::new("/etc/guesthouse"), []).unwrap();
    assert_eq!(config.handlers[0].component, PathBuf::from("/etc/guesthouse/h.wasm"));
    assert_eq!(
        PathBuf::from(&config.connector.embedded.data_dir),
        PathBuf::from("/etc/guesthouse/./data/iggy")
    );
}

#[test]
fn handlers_need_name_component_and_events() {
    let found = mistakes("handlers: [{tenants: all}]", &[]);
    let expected = ["name", "component", "events"]
        .map(|key| format!("line 1: handlers[0].{key}: is missing and has no default"));
    assert_eq!(found, expected);
    assert!(mistake(&HANDLER.replace("'*'", "")).contains("expected at least one pattern"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let handler = |extra: &str| HANDLER.replace("}]", &format!(", {extra}}}]"));
    let raw = |extra: &str| format!("subscriptions: [{{name: s, topics: [t], {extra}}}]");
    for (text, expected) in [
        (
            HANDLER.replace('}', "}, {name: h, component: i.wasm, events: [x]}"),
            "another handler has this name",
        ),
        (handler("subscription: orders"), "no such subscription, expected one of default"),
        (handler("tenants: some"), "expected all, platform or a list of tenant ids"),
        (handler("tenants: []"), "at least one tenant id"),
        (handler("tenants: [platform]"), "write it instead of the list"),
        (handler("grants: [files]"), "expected log"),
        (handler("config: {a: b}"), "handlers[0].config: has no effect without the grant `config`"),
        (
            handler("grants: [config], secrets: {token: hunter2}"),
            "handlers[0].secrets.token: expected a section with keys",
        ),
        (
            handler("grants: [config], secrets: {token: {env: A, file: b}}"),
            "handlers[0].secrets.token.env: expected either `env: VARIABLE` or `file: PATH`",
        ),
        (
            handler("grants: [config], secrets: {token: {env: NO_SUCH}}"),
            "handlers[0].secrets.token.env: the environment variable `NO_SUCH` is not set",
        ),
        (
            handler("grants: [config], secrets: {token: {file: /dev/null}}"),
            "handlers[0].secrets.token.file: the secret has 0 bytes, expected 1 to 65536",
        ),
        (handler("emit_topics: [dlq]"), "`dlq` is kept for dead letters; name another topic"),
        (handler("emit_topics: [dlq-states]"), "`dlq-states` is kept for the states of dead letters"),
        (
            handler("emit_topics: [a, domain-parked]"),
            "emit_topics: `domain-parked` is kept for parked events",
        ),
        ("subscriptions: [{name: x, topics: [domain-parked]}]".into(), "are not read like events"),
        (handler("dedup: {events: 0}"), "from 1 to 1000000"),
        (handler("retry: {backoff_max: 1ms}"), "expected at least `backoff_min`, which is 200ms"),
        (handler("limits: {deadline: 0s}"), "expected a time above zero"),
        (handler("limits: {memory_max: 1KiB}"), "expected a size such as 64MiB"),
        (handler("limits: {answer_bytes_max: 1KiB}"), "expected a size such as 64MiB, from 64.0 KiB"),
        (
            handler("limits: {emits_max: 64}") + "\nsandbox: {ceilings: {emits_max: 63, deadline: 1ms}}",
            "handlers[0].limits.emits_max: `64`: expected at most 63, as `sandbox.ceilings` says",
        ),
        (
            handler("limits: {memory_max: 2GiB}"),
            "memory_max: `2.0 GiB`: expected at most 1.0 GiB, as `sandbox.ceilings` says",
        ),
        (handler("order_by: random"), "is not an order"),
        (handler("order_by: none, on_failure: block"), "there is no lane to stop"),
        ("dead_letters: {topic: domain}".into(), "expected a topic of its own"),
        (
            "subscriptions: [{name: s, topics: [dlq]}]".into(),
            "`dlq` is kept for dead letters, which are not read like events",
        ),
        ("subscriptions: [{name: s, topics: []}]".into(), "expected at least one topic"),
        ("subscriptions: [{name: s}, {name: s, group: g}]".into(), "the name `s` is given twice"),
        ("subscriptions: [{name: a}, {name: b}]".into(), "each would miss events of the other"),
        (raw("codec: raw, raw: {tenant: header}"), "subscriptions[0].raw.event_type: is missing"),
        (raw("raw: {tenant: header, event_type: header}"), "has no effect with `codec: json`"),
        (raw("codec: bincode"), "expected json or messagepack or postcard or raw"),
    ] {
        let found = mistake(&text);
        assert!(found.contains(expected), "{text}\n{found}");
    }
}

#[test]
fn what_is_not_yaml_says_where() {
    let error = parse("events: [", &[]).unwrap_err().to_string();
    assert!(error.starts_with("the configuration is not YAML") && error.contains("line"), "{error}");
    let error = parse("password: hunter2\npassword: hunter3", &[]).unwrap_err().to_string();
    assert!(
        error.contains("line 2: password: is written a second time") && !error.contains("hunter"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nowhere/guesthouse.yaml"), []).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration /nowhere/guesthouse.yaml");
}
