//! The end-to-end stories: what Guesthouse promises, told with real parts. One file per story.

#[cfg(test)]
mod stories {
    mod block;
    mod breaker;
    mod broker_alone;
    mod broker_restart;
    mod compiler;
    mod configured;
    mod crash;
    mod dedup;
    mod drain;
    mod embedded_crash;
    mod embedding;
    mod foreign_clients;
    mod full_disk;
    mod hand_over;
    mod headers;
    mod health;
    mod host_crash;
    mod http;
    mod isolation;
    mod languages;
    mod late_broker;
    mod library;
    mod little_memory;
    mod log_gone;
    mod long_faults;
    mod mistakes;
    mod open_files;
    #[cfg(feature = "opentelemetry")]
    mod opentelemetry;
    mod park;
    mod picky;
    mod proxy;
    mod replay;
    mod rustok_module;
    mod samples;
    mod sharing;
    mod state;
    mod topic_anew;
    mod torture;
    mod tracing;
    mod transport;
    mod undecodable;
    mod unwritable;
}
