//! Goal: many partitions run under the limit of open files that most systems give, and where they cannot, words say why.
//! Method: the program under soft and hard limits of a shell.

use std::path::Path;
use std::process::{Command, Output};

use guesthouse_tests::house::order_totals;
use guesthouse_tests::{HostProgram, House, builds};
use serde_json::json;

const PARTITIONS: u64 = 400;

/// The program under a limit, which `ulimit` sets.
fn limited(limit: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")]).arg(builds::host());
    command
}

fn check(limit: &str, config: &Path) -> Output {
    limited(limit).args(["check", "--config"]).arg(config).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_run_under_a_low_soft_limit() {
    let Some(house) = House::embedded("open files") else { return };
    let mut config = house.config(&[order_totals()]);
    config["events"]["iggy"]["topology"]["domain_partitions"] = json!(PARTITIONS);
    let file = house.write("host", &config);
    let mut host = HostProgram::start_as(limited("ulimit -Sn 1024"), &file);
    host.until_reading(PARTITIONS).await;
    let ended = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("files will be open"), "{}", ended.log);
    let checked = check("ulimit -Sn 1024", &file);
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "", "check raises the limit, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_too_low_is_told_in_words_by_check_and_run() {
    let Some(house) = House::embedded("too few open files") else { return };
    let mut config = house.config(&[order_totals()]);
    config["events"]["iggy"]["topology"]["domain_partitions"] = json!(PARTITIONS);
    let file = house.write("host", &config);
    let told = |text: &str| {
        assert!(text.contains("files will be open, for "), "{text}");
        assert!(
            text.contains("and 512 are allowed; raise the hard limit of open files, which is 512"),
            "{text}"
        );
    };
    let checked = check("ulimit -n 512", &file);
    told(&String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "an estimate refuses nothing");
    let ended = HostProgram::start_as(limited("ulimit -n 512"), &file).ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    told(ended.log.rsplit_once("\nerror: ").unwrap().1);
}
