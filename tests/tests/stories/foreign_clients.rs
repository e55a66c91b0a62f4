//! Goal: clients that others wrote work with the broker unmodified. Method: one list of steps (streams, messages,
//! offsets, users, tokens, a group, a purge), `clients/steps.txt`, that each of them takes, and what has to come of it.
//! The stories of the connector take the same steps with the official client.

use std::path::Path;
use std::process::{Command, Output};

use guesthouse_tests::{Access, BrokerProgram, builds};

/// Where `cargo xtask test` installs the Python client, from the folder of cargo for the files of tests.
const PYTHON: &str = "../clients/python/bin/python";
/// Set by `cargo xtask test --all`: then nothing may be skipped.
const ALL_TESTS: &str = "GUESTHOUSE_TESTS_ALL";
/// The program of the command line.
const IGGY: &str = "iggy";

/// A step: as whom, what, and what has to come of it.
struct Step {
    who: &'static str,
    words: Vec<&'static str>,
    expected: &'static str,
}

/// The steps that a client can take.
fn steps(client: &str) -> Vec<Step> {
    let lines = include_str!("../../clients/steps.txt").lines().filter(|line| !line.starts_with('#'));
    let steps = lines.filter_map(|line| {
        let [clients, who, words, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let takes = clients.split(' ').any(|one| one == "all" || one == client);
        takes.then(|| Step { who, words: words.split(' ').collect(), expected })
    });
    steps.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_with_the_broker() {
    if Command::new(IGGY).arg("--version").output().is_err() {
        assert!(std::env::var_os(ALL_TESTS).is_none(), "{IGGY} is not installed");
        eprintln!("SKIPPED: the command line of Iggy; `cargo install --locked iggy-cli@0.14.0` brings it");
        return;
    }
    let broker = BrokerProgram::start().await;
    for step in steps("cli") {
        let ran = command_line(broker.access(), &step);
        let printed =
            String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        let outcome = if ran.status.success() { outcome(step.words[0], &printed) } else { "refused".into() };
        assert_eq!(outcome, step.expected, "{:?}: {printed}", step.words);
    }
}

/// Takes a step with the command line.
fn command_line(access: &Access, step: &Step) -> Output {
    let (user, password) = step.who.split_once('/').unwrap_or((&access.username, &access.password));
    let login = ["--username", user, "--password", password];
    let mut command = Command::new(IGGY);
    command.args(["--tcp-server-address", &access.address]).args(login).args(arguments(&step.words));
    command.output().unwrap()
}

/// A step in the words of the command line.
fn arguments<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let reading = ["--consumer", "7", "--message-count", "10"];
    match words {
        ["ping"] => vec!["ping", "--count", "1"],
        ["create-stream", name] => vec!["stream", "create", name],
        ["create-topic", stream, name, partitions] => {
            vec!["topic", "create", stream, name, partitions, "none"]
        }
        ["partitions" | "messages", stream, topic] => vec!["topic", "get", stream, topic],
        ["send", stream, topic, partition, texts @ ..] => {
            [&["message", "send", "--partition-id", partition, stream, topic], texts].concat()
        }
        ["poll", stream, topic, partition, from, commit @ ..] => {
            let from = match from.split_once('=') {
                Some((_, offset)) => vec!["--offset", offset],
                None if *from == "next" => vec!["--next"],
                None => vec!["--first"],
            };
            let commit: &[&str] = if commit.is_empty() { &[] } else { &["--auto-commit"] };
            [&["message", "poll"], &from[..], commit, &reading, &[stream, topic, partition]].concat()
        }
        ["offset", place @ ..] => [&["consumer-offset", "get", "7"], place].concat(),
        ["set-offset", place @ ..] => [&["consumer-offset", "set", "7"], place].concat(),
        ["flush", place @ ..] => [&["message", "flush"], place, &["--fsync"]].concat(),
        ["create-group", place @ ..] => [&["consumer-group", "create"], place].concat(),
        ["members", place @ ..] => [&["consumer-group", "get"], place].concat(),
        ["create-user", login @ ..] => {
            [&["user", "create"], login, &["--global-permissions", "poll_messages"]].concat()
        }
        ["password", words @ ..] => [&["user", "password"], words].concat(),
        ["create-token", name] => vec!["pat", "create", name],
        ["tokens"] => vec!["pat", "list"],
        ["total"] => vec!["stats"],
        ["purge", place @ ..] => [&["topic", "purge"], place].concat(),
        ["delete-user", name] => vec!["user", "delete", name],
        ["delete-stream", name] => vec!["stream", "delete", name],
        _ => panic!("the command line has no words for {words:?}"),
    }
}

/// What came of a step, from what the command line printed.
fn outcome(verb: &str, printed: &str) -> String {
    let rows = printed.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let property = |name: &str| {
        let row = rows.iter().find(|row| row[0] == name);
        row.unwrap_or_else(|| panic!("no {name} in {printed}"))[1].to_owned()
    };
    match verb {
        "partitions" => property("Partitions count"),
        "messages" => property("Topic message count"),
        "members" => property("Members count"),
        "offset" => property("Stored offset"),
        "total" => property("Message Count"),
        "poll" => rows.iter().skip(1).map(|row| row[row.len() - 1]).collect::<Vec<_>>().join(" "),
        "tokens" => rows.iter().skip(1).map(|row| row[0]).collect::<Vec<_>>().join(" "),
        _ => "done".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_with_the_broker() {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PYTHON);
    if !python.exists() {
        assert!(std::env::var_os(ALL_TESTS).is_none(), "{} was not installed", python.display());
        eprintln!("SKIPPED: the Python client: `cargo xtask test` installs it where Python is");
        return;
    }
    let broker = BrokerProgram::start().await;
    let folder = builds::repository().join("tests/clients");
    let access = broker.access();
    let mut command = Command::new(python);
    command.arg(folder.join("steps.py")).arg(folder.join("steps.txt"));
    let ran = command.args([&access.address, &access.password]).output().unwrap();
    // The client's interpreter sometimes aborts after the last line: what it printed counts, not its exit.
    let printed = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    let expected: Vec<&str> = steps("python").iter().map(|step| step.expected).collect();
    assert_eq!(lines, expected, "{}", String::from_utf8_lossy(&ran.stderr));
}
