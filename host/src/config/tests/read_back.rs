//! What is printed of a configuration loads to the same one, whatever its texts hold.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::sandbox::GuestConfig;

/// How many configurations are printed.
const RUNS: u64 = 300;

/// Pieces that mean something to YAML, to variables, or to those who cut lines.
const PIECES: [&str; 52] = [
    "${", "$${", "$", "{", "}", "${A}", "'", "\"", "\\", "#", " #", ": ", ":", "- ", "-", "---", "...", "? ",
    "|", ">", "&a", "*a", "!t", "%", "@", "`", "[", "]", ",", "~", "null", "true", "no", "0x1f", "1e3",
    ".inf", "007", "<<", "=", " ", "  ", "é", "日本", "🦀", "\u{feff}", "\u{85}", "\u{2028}", "\u{a0}", "a",
    "b\\n", "${}", "********",
];
/// The same for texts that may have control characters.
const CONTROLS: [&str; 8] = ["\n", "\n\n", "\r\n", "\t", "\0", "\u{7f}", "\u{1b}", "\r"];

fn text(random: &mut SmallRng, with_controls: bool) -> String {
    let mut text = String::new();
    for _ in 0..random.random_range(1..8) {
        let pieces: &[&str] = if with_controls && random.random_ratio(1, 4) { &CONTROLS } else { &PIECES };
        text.push_str(pieces[random.random_range(0..pieces.len())]);
    }
    text
}

fn name(random: &mut SmallRng) -> String {
    loop {
        let name = text(random, false);
        if super::super::value::name(&name).is_ok() {
            return name;
        }
    }
}

#[test]
fn any_text_reads_back_as_itself() {
    for seed in 0..RUNS {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut config = parse(HANDLER, &[]).unwrap();
        config.connector.stream_name = name(random);
        config.connector.remote.username = text(random, true);
        config.connector.embedded.data_dir = text(random, false);
        config.subscriptions[0].group = name(random);
        config.subscriptions[0].topics = vec![name(random)];
        config.dispatch.tenant_weights = [(Tenant::from_name(name(random).into()), 2)].into();
        let handler = &mut config.handlers[0];
        handler.version = Some(name(random));
        handler.component = text(random, false).into();
        let values = (0..3).map(|_| (name(random), text(random, true))).collect();
        handler.grants.config = Some(GuestConfig::new(values, BTreeMap::new()).into());
        let printed = config.to_yaml_masked();
        let read = parse(&printed, &[("A", "replaced")]);
        same(&read.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{printed}")), &config);
    }
}

#[test]
fn a_printed_address_of_redis_is_one() {
    for (url, expected) in [
        ("redis://h:7/2", "redis://h:7/2"),
        ("redis://:hunter2@h", "redis://:********@h"),
        ("redis://me:hunter2@h:7/0", "redis://me:********@h:7/0"),
        ("redis://hunter2@h", "redis://********@h"),
    ] {
        let text = format!("sandbox: {{state: {{store: redis, redis_url: '{url}'}}}}");
        let printed = parse(&text, &[]).unwrap().to_yaml_masked();
        assert!(printed.contains(expected) && !printed.contains("hunter2"), "{printed}");
        match parse(&printed, &[]) {
            Ok(read) => assert_eq!(read.to_yaml_masked(), printed),
            Err(error) => {
                let error = error.to_string();
                assert!(expected.contains('*') && error.contains("redis_url: `********` is what"), "{error}");
            }
        }
    }
}

/// Nobody takes the mask for the secret, and what is read from a file is printed as that.
#[test]
fn a_printed_secret_is_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "hunter2").unwrap();
    std::fs::write(dir.path().join("url"), "redis://:hunter2@h").unwrap();
    let read = |text: &str| Config::parse(text, dir.path(), [("PW".into(), "hunter2".into())]);
    let remote = |login: &str| format!("events: {{iggy: {{mode: remote, remote: {{{login}}}}}}}");
    let redis = |url: &str| format!("sandbox: {{state: {{store: redis, {url}}}}}");
    let guest = HANDLER.replace("'*']", "'*'], grants: [config], secrets: {key: {env: PW}}");
    let embedded = "events: {iggy: {embedded: {password: hunter2}}}";
    for (text, expected) in [
        (
            &remote("password: '${PW}'"),
            "events.iggy.remote.password: `********` is what `guesthouse check` prints",
        ),
        (
            &remote("token: hunter2"),
            "write the secret, or `token_file` with the name of a file that holds it",
        ),
        (&embedded.to_owned(), "events.iggy.embedded.password: `********` is what"),
        (&redis("redis_url: 'redis://:hunter2@h'"), "sandbox.state.redis_url: `********` is what"),
        (
            &guest,
            "secrets.key: `********` is what `guesthouse check` prints in place of a secret; write `env: VARIABLE`",
        ),
    ] {
        let printed = read(text).unwrap().to_yaml_masked();
        assert!(printed.contains("********") && !printed.contains("hunter2"), "{printed}");
        let error = read(&printed).unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains(" mistakes:"),
            "expected `{expected}` in: {error}"
        );
    }
    for text in [remote("password_file: pw"), remote("token_file: pw"), redis("redis_url_file: url")] {
        let config = read(&text).unwrap();
        let printed = config.to_yaml_masked();
        assert!(printed.contains("_file: ") && !printed.contains("hunter2"), "{printed}");
        same(&read(&printed).unwrap(), &config);
    }
}
