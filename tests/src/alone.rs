//! Tests that look at the whole process: each runs in one of its own, where no other test takes memory or threads.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tells a process which test it is for.
const TEST: &str = "GUESTHOUSE_TEST_ALONE";

/// The C library keeps memory for each thread, and which thread takes how much is chance; and the larger the blocks that
/// it has seen given back, the larger the ones that it puts between small ones, where they stay. With memory in one
/// place, and large blocks always by themselves, what grows is what leaks.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// What lines with figures start with.
const FIGURE: &str = "measured: ";

/// By how much memory may have grown that a process gave back.
const KEPT_BYTES_MAX: u64 = 16 << 20;

/// How long a process may take to give back what it no longer needs. Kernels and allocators take a moment.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    resident_bytes: u64,
    threads: usize,
    descriptors: usize,
}

/// Runs a test, named by its full path, in a process of its own.
#[expect(clippy::print_stdout, reason = "figures are for those who run the test")]
pub fn alone(test: &str, story: impl Future<Output = ()>) {
    if std::env::var(TEST).is_ok_and(|named| named == test) {
        // One thread for blocking work, so that their number says nothing about chance.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        runtime.expect("a runtime can be made").block_on(story);
        return;
    }
    let program = std::env::current_exe().expect("this test is a program");
    let arguments = ["--exact", test, "--nocapture", "--test-threads", "1"];
    let mut command = Command::new(program);
    command.args(arguments).env(TEST, test).envs(ALLOCATOR);
    let output = command.output().expect("this test can run");
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said.contains("1 passed"), "{test} failed:\n{said}{complained}");
    let figures = said.lines().filter_map(|line| line.find(FIGURE).and_then(|start| line.get(start..)));
    figures.for_each(|figure| println!("{figure}"));
}

/// Prints a figure for those who run the test with `--nocapture`.
#[expect(clippy::print_stdout, reason = "figures are for those who run the test")]
pub fn measured(figure: &str) {
    println!("{FIGURE}{figure}");
}

impl Holdings {
    /// What this process holds now.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("the kernel tells about this process");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
        };
        let entries = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
        Self {
            resident_bytes: value("VmRSS:") * 1024,
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
        }
    }

    /// Waits until the process holds no more than this again, give or take what an allocator keeps.
    pub async fn are_back(&self, after: &str) -> Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = Self::now();
            if now.resident_bytes <= self.resident_bytes + KEPT_BYTES_MAX
                && now.threads <= self.threads
                && now.descriptors <= self.descriptors
            {
                return now;
            }
            assert!(Instant::now() < end, "{after} left something behind: {self:?}, then {now:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
