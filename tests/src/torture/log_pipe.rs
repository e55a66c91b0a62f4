//! The pipe that a host writes its log to, with a reader that can pause or go away.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the rest of a log may take to arrive after the end of the host.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 4_096;

/// Copies a log from a pipe to its file until the pipe ends.
#[derive(Debug)]
pub struct LogPipe {
    flow: Arc<(Mutex<Flow>, Condvar)>,
    copier: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Blocked,
    Closed,
}

impl LogPipe {
    /// Begins to copy.
    pub fn start(pipe: PipeReader, log: &Path) -> Self {
        let file = File::options().append(true).open(log).expect("the log was created");
        let flow = Arc::new((Mutex::new(Flow::Open), Condvar::new()));
        let copier = std::thread::spawn({
            let flow = Arc::clone(&flow);
            move || copy(pipe, file, &flow)
        });
        Self { flow, copier }
    }

    /// Stops reading, after what is read just now.
    pub fn block(&self) {
        self.set(Flow::Blocked);
    }

    /// Reads on.
    pub fn unblock(&self) {
        self.set(Flow::Open);
    }

    /// Goes away, after what is read just now.
    pub fn close(&self) {
        self.set(Flow::Closed);
    }

    /// Waits until everything that a host wrote before its end has arrived.
    pub fn finish(&self) {
        self.unblock();
        let end = Instant::now() + ARRIVES_WITHIN;
        while !self.copier.is_finished() && Instant::now() < end {
            std::thread::yield_now();
        }
    }

    fn set(&self, new: Flow) {
        let mut flow = self.flow.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *flow != Flow::Closed {
            *flow = new;
        }
        self.flow.1.notify_all();
    }
}

impl Drop for LogPipe {
    fn drop(&mut self) {
        self.set(Flow::Closed);
    }
}

fn copy(mut pipe: PipeReader, mut file: File, (flow, changed): &(Mutex<Flow>, Condvar)) {
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let mut now = flow.lock().unwrap_or_else(PoisonError::into_inner);
        while *now == Flow::Blocked {
            now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let is_closed = *now == Flow::Closed;
        drop(now);
        if is_closed {
            return;
        }
        match pipe.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => file.write_all(&chunk[..read]).expect("the stage is writable"),
        }
    }
}
