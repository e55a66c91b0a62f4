//! Goal: a crowd of bad peers costs the one who behaves nothing but time, and the broker little memory.
//! Method: a broker in a process of its own; slow, idle and guessing peers and browsers by the hundreds, all at once, and
//! a client that sends and polls meanwhile. Nothing is said about times here: `Victim` tells memory and open files.

mod crowd;

use iggy_binary_protocol::Operation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;

use crate::failures::Victim;
use crate::kit::{Raw, login_body};
use crowd::{PAUSE, crowd};

const T: (&str, &str, u32) = ("s", "t", 0);
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The 64 connections without login that the limits allow, those that log in, and what the broker has open anyhow.
const FILES_MAX: usize = 64 + 32;

/// Both ends of more than a thousand connections have to be open at once.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_bad_peers_costs_the_good_one_nothing_but_time() {
    raise_file_limit();
    let dir = tempfile::tempdir().unwrap();
    let victim = Victim::start(dir.path());
    let mut good = victim.enter().await;
    good.create_stream("s").await;
    good.create_topic("s", "t", 1).await;
    let memory_before = victim.memory_bytes();

    let guess = victim.enter().await.frame(Operation::Register, 0, &login_body("iggy", "guess"));
    let mut crowd = crowd(victim.address, &guess);
    for sent in 1..=200 {
        good.send(T, &[(sent, "m")]).await.ok();
        if sent % 20 == 0 {
            assert_eq!(good.contents(T).await.len() as u128, sent);
            let more = victim.memory_bytes().saturating_sub(memory_before);
            assert!(more <= MEMORY_BYTES_MAX, "{more} bytes more after {sent} messages");
            assert!(victim.open_files() <= FILES_MAX, "{} files are open", victim.open_files());
        }
    }
    crowd.shutdown().await;
    // Once the crowd is gone there is room for others again.
    let entered = async {
        loop {
            let mut raw = Raw::dial(victim.address).await;
            let frame = raw.frame(Operation::NonReplicated, 1, &[]);
            if raw.stream.write_all(&frame).await.is_ok() && raw.answer().await.is_some() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(crate::kit::HANG, entered).await.expect("others get in again");
}
