//! Goal: clients that others wrote work with the broker unmodified. Method: a scenario for each of them (a stream,
//! messages, offsets, users, tokens, a group, a purge), and what it has to print.

use std::path::Path;
use std::process::Command;

use guesthouse_tests::{BrokerProgram, builds};

/// Where `cargo xtask test` installs the Python client, from the folder of cargo for the files of tests.
const PYTHON: &str = "../clients/python/bin/python";
/// Set by `cargo xtask test --all`: then nothing may be skipped.
const ALL_TESTS: &str = "GUESTHOUSE_TESTS_ALL";

const PYTHON_PRINTS: &str = "\
topic with 2 partitions
first: a b c
second, committed: b c
next:
reader polls: a b c
reader sends: Unauthorized
old password: Invalid credentials
options: 9
messages at least: True guesthouse-0.1.0
purged: 0
done
";

/// What the command line is asked, one after the other, and what its answer has to contain.
const COMMANDS: [(&str, &str); 19] = [
    ("ping --count 1", "Ping sequence id: 1"),
    ("stream create foreign", "created"),
    ("topic create foreign topic 2 none", "partitions count: 2"),
    ("topic list foreign", "topic"),
    ("message send --partition-id 1 foreign topic a b c", "Sent messages"),
    ("message poll --first --message-count 10 foreign topic 1", "Polled 3 messages"),
    ("message flush foreign topic 1 --fsync", "Flushed messages"),
    ("consumer-offset set 7 foreign topic 1 2", "2"),
    ("consumer-offset get 7 foreign topic 1", "2"),
    ("consumer-group create foreign topic group", "created"),
    ("consumer-group list foreign topic", "group"),
    ("user create reader secret", "created"),
    ("user list", "reader"),
    ("pat create token", "Token: "),
    ("pat list", "unlimited"),
    ("stats", "Message Count            | 3"),
    ("topic purge foreign topic", "purged"),
    ("user delete reader", "deleted"),
    ("stream delete foreign", "deleted"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_with_the_broker() {
    let program = "iggy";
    if Command::new(program).arg("--version").output().is_err() {
        assert!(std::env::var_os(ALL_TESTS).is_none(), "{program} is not installed");
        eprintln!("SKIPPED: the command line of Iggy; `cargo install --locked iggy-cli@0.14.0` brings it");
        return;
    }
    let broker = BrokerProgram::start().await;
    let access = broker.access();
    for (words, expected) in COMMANDS {
        let mut command = Command::new(program);
        command.args(["--tcp-server-address", &access.address]);
        command.args(["--username", &access.username, "--password", &access.password]);
        let ran = command.args(words.split(' ')).output().unwrap();
        let printed =
            String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && printed.contains(expected), "{words}: {printed}");
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
    let scenario = builds::repository().join("tests/clients/scenario.py");
    let access = broker.access();
    let ran = Command::new(python).arg(scenario).args([&access.address, &access.password]).output().unwrap();
    // The client's interpreter sometimes aborts after the last line: what it printed counts, not its exit.
    let printed = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    let expected: Vec<&str> = PYTHON_PRINTS.lines().collect();
    assert_eq!(lines, expected, "{}", String::from_utf8_lossy(&ran.stderr));
}
