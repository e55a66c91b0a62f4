//! Goal: every fixture of `guests/hostile` ends in its verdict, and nobody else notices. Method: each is admitted and
//! gets one event, twice; a neighbour is called after each.

use std::sync::OnceLock;

use guesthouse::trial::TrialEvent;
use guesthouse_tests::hostile::verdict::{self, Verdicts, only};
use guesthouse_tests::hostile::{fixture, lines};

use crate::site::Site;

const RUNS: usize = 2;

/// Longest line that reaches the log.
const LINE_BYTES_MAX: usize = 4096;

/// A neighbour, which does nothing.
pub(crate) const NEIGHBOUR: &str = "neighbour.wat";

macro_rules! fixtures {
    ($($name:ident),* $(,)?) => {
        /// The tests by name.
        pub(crate) const TESTS: &[&str] = &[$(stringify!($name)),*];

        $(#[tokio::test]
        async fn $name() {
            ends_in_its_verdict(stringify!($name)).await;
        })*
    };
}

fixtures![
    a01_loop_in_the_handler,
    a02_loop_in_init,
    a02_loop_in_the_start_function,
    a03_loop_in_realloc,
    a04_loop_in_post_return,
    a05_bulk_operations_over_all_memory,
    a06_recursion_with_frames_of_1000_values,
    a06_recursion_with_frames_of_100_values,
    a06_recursion_with_small_frames,
    a07_denied_calls_at_the_edge_of_the_stack,
    a07_log_at_the_edge_of_the_stack,
    a07_streams_and_clock_at_the_edge_of_the_stack,
    a08_sleep,
    a08_sleep_of_a_standard_library,
    a09_poll_in_a_circle,
    a09_poll_of_nothing,
    a09_poll_of_too_much,
    a14_many_functions,
    a14_many_imports,
    a14_many_locals,
    b01_memory_touched,
    b01_memory_without_end,
    b01_memory_without_end_and_on,
    b02_declared_memory,
    b03_many_memories,
    b03_memories_of_one_module,
    b03_memories_that_grow_in_turn,
    b04_many_instances,
    b04_many_nested_components,
    b05_declared_table,
    b05_table_of_64_bits,
    b05_table_without_end,
    b06_resources_over_the_limit_together,
    b06_resources_within_the_limit,
    b06_resources_without_end,
    b07_pollables_without_end,
    b07_streams_without_end,
    b08_answer_beyond_memory,
    b08_answer_of_a_module_too_large,
    b08_answer_too_large,
    b08_list_beyond_memory,
    b08_text_beyond_memory,
    b09_aliased_headers,
    b09_batch_of_lists,
    b09_many_empty_emits,
    b10_deep_type,
    b10_wide_type,
    b11_empty_writes,
    b12_random_bytes_at_once,
    b12_random_bytes_without_end,
    b12_random_without_grant,
    b13_pattern_and_a_loop,
    b13_pattern_and_a_trap,
    b13_pattern_and_an_answer,
    b13_search,
    c01_huge_line,
    c01_log_flood,
    c01_log_flood_of_an_event_that_is_done,
    c01_long_line,
    c01_stream_flood,
    c01_stream_flood_without_grant,
    c02_forged_text,
    c02_log_that_is_not_utf8,
    c02_reason_that_is_not_utf8,
    c03_emit_with_a_long_type,
    c03_emit_without_type,
    c03_huge_emit,
    c03_large_emit,
    c03_many_emits,
    c03_module_that_publishes_nested_json,
    c03_module_that_publishes_without_end,
    c04_capabilities_of_a_module,
    c06_foreign_buckets,
    c06_long_and_empty_keys,
    c06_odd_keys,
    c06_state_without_grant,
    c07_large_value,
    c07_more_than_may_be_kept,
    c07_state_calls_without_end,
    c07_values_without_end,
    c08_host_call_in_realloc,
    c09_atomics,
    c09_shared_memory,
    c09_spawn,
    c09_threads_of_a_standard_library,
    c10_exit_with_failure,
    c10_exit_with_success,
    c11_log_of_a_secret,
    c11_panic_with_a_long_text,
    c11_panic_with_a_secret,
    c11_rejection_with_a_secret,
    c11_retry_with_a_secret,
    c11_secret_at_the_end_of_a_reason,
    d01_import_without_grant,
    d01_import_without_interface,
    d01_private_import,
    d02_function_missing,
    d02_no_handler,
    d02_other_type,
    d02_other_version,
    d03_core_module,
    d03_text,
    d08_too_large,
    d14_nested_components,
    d14_utf16,
    d15_broken_debug_information,
    d15_large_custom_section,
    d15_long_function_name,
    e03_environment,
    e03_environment_of_a_standard_library,
    e03_input_of_a_standard_library,
    e05_fields_that_are_kept,
    e05_hosts_not_listed,
    e05_http_without_grant,
    e05_look_alikes,
    e05_requests_that_are_kept,
    e05_requests_without_end,
    e05_schemes_that_are_not_listed,
    e05_the_network_inside,
    e05_this_machine,
    e06_forged_fields,
    e06_forged_paths,
    e06_forged_requests,
    e07_name_lookup,
    e07_sockets_of_a_standard_library,
    e08_files_of_a_standard_library,
];

async fn ends_in_its_verdict(test: &str) {
    lines::count();
    let site = Site::start().await;
    let verdict = &verdicts()[test];
    let bytes = verdict.bytes().expect("the case has a fixture");
    let handler = verdict.handler(test);
    let name = handler.name.to_string();
    let neighbour =
        site.trial.admit(verdict::handler("neighbour"), fixture::component(NEIGHBOUR)).await.unwrap();
    for _ in 0..RUNS {
        let ending = verdict.run(&site.trial, handler.clone(), bytes.clone()).await;
        verdict.check(test, &ending);
        let lines = lines::take(&name);
        assert_eq!(lines.forged, None);
        assert!(lines.longest_bytes <= LINE_BYTES_MAX, "{lines:?}");
        if let Some(expected) = verdict.lines {
            assert_eq!(lines.count, expected, "{lines:?}");
        }
        let outcome = only(neighbour.call(&[TrialEvent::default()]).await.outcomes);
        assert!(outcome.is_done(), "the neighbour: {outcome:?}");
    }
}

fn verdicts() -> &'static Verdicts {
    static VERDICTS: OnceLock<Verdicts> = OnceLock::new();
    VERDICTS.get_or_init(verdict::all)
}
