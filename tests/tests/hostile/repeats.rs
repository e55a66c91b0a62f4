//! Goal: attacks leave nothing behind, however often they come. Method: run them again and again in a process of
//! their own, and look at its memory, threads and descriptors; a neighbour is served in between.

use std::time::Duration;

use bytes::Bytes;
use guesthouse::GuestLimits;
use guesthouse::trial::{Trial, TrialComponent, TrialEvent, TrialHandler};
use guesthouse_tests::alone::{Holdings, alone, measured};
use guesthouse_tests::hostile::fixture;
use guesthouse_tests::hostile::verdict::{self, Ending, Verdict, only};

use crate::fixtures::{NEIGHBOUR, TESTS};
use crate::runs;
use crate::site::Site;

/// Rounds before anything is measured: allocators reach their largest size only then.
const WARM_UP: usize = 2;
/// Mixed calls for each run of a fixture.
const MIXED_CALLS: usize = 100;
/// Tenants of the mixed calls.
const TENANTS: usize = 7;
/// Those who make mixed calls at the same time.
const CALLERS: usize = 4;
/// What is to run out of time gets this much of it.
const DEADLINE: Duration = Duration::from_millis(20);

/// A fixture that is admitted, and what one call of it needs.
struct Admitted {
    name: &'static str,
    verdict: Verdict,
    component: TrialComponent,
}

#[test]
fn every_fixture_again_and_again() {
    alone("repeats::every_fixture_again_and_again", async {
        let site = Site::start().await;
        let trial = &site.trial;
        let neighbour = neighbour(trial).await;
        let fixtures = fixtures();
        for fixture in &fixtures {
            repeat(trial, fixture, WARM_UP).await;
        }
        let before = Holdings::now();
        for fixture in &fixtures {
            repeat(trial, fixture, runs()).await;
            is_served(&neighbour).await;
            before.are_back(fixture.0).await;
        }
        assert_eq!(trial.idle_guests(), 1, "guests of others than the neighbour");
        measured(&format!(
            "{} runs of {} fixtures, {before:?}, then {:?}",
            runs(),
            fixtures.len(),
            Holdings::now()
        ));
    });
}

#[test]
fn deployments_leave_nothing_behind() {
    alone("repeats::deployments_leave_nothing_behind", async {
        let site = Site::start().await;
        let trial = &site.trial;
        let bytes = fixture::component("explorer.wasm");
        let deploy = async || {
            let component = trial.admit(verdict::handler("deployed"), bytes.clone()).await.unwrap();
            let outcome = only(component.call(&[TrialEvent::new("environment", "{}")]).await.outcomes);
            assert_eq!(outcome.kind, "reject", "{outcome:?}");
        };
        deploy().await;
        let before = Holdings::now();
        for _ in 0..runs() {
            deploy().await;
        }
        assert_eq!(trial.idle_guests(), 0);
        let after = before.are_back("deployments").await;
        measured(&format!("{} deployments, {before:?}, then {after:?}", runs()));
    });
}

#[test]
fn mixed_calls_leave_nothing_behind() {
    alone("repeats::mixed_calls_leave_nothing_behind", async {
        let site = Site::start().await;
        let trial = &site.trial;
        for _ in 0..WARM_UP {
            mix(trial, TESTS.len() * 2).await;
        }
        let before = Holdings::now();
        mix(trial, runs() * MIXED_CALLS).await;
        let after = before.are_back("mixed calls").await;
        measured(&format!("{} mixed calls, {before:?}, then {after:?}", runs() * MIXED_CALLS));
    });
}

/// Admits all fixtures that are admitted, and makes so many calls of them in turn.
async fn mix(trial: &Trial, calls: usize) {
    let neighbour = neighbour(trial).await;
    let mut admitted = Vec::new();
    for (name, verdict, bytes) in fixtures() {
        if verdict.outcome.is_some() {
            let component = trial.admit(handler(name, &verdict), bytes).await.unwrap();
            admitted.push(Admitted { name, verdict, component });
        }
    }
    mixed_calls(&admitted, &neighbour, calls).await;
    drop((admitted, neighbour));
    assert_eq!(trial.idle_guests(), 0);
}

/// Every second call is the neighbour's.
async fn mixed_calls(admitted: &[Admitted], neighbour: &TrialComponent, calls: usize) {
    let caller = async |caller: usize| {
        for n in (caller..calls).step_by(CALLERS) {
            // Steps without a common divisor: every fixture meets every tenant.
            let tenant = format!("tenant-{}", n % TENANTS);
            let outcome = only(neighbour.call(&[TrialEvent::default().of_tenant(&tenant)]).await.outcomes);
            assert!(outcome.is_done(), "the neighbour: {outcome:?}");
            let Admitted { name, verdict, component } = &admitted[n / 2 % admitted.len()];
            let report = component.call(&[verdict.event().of_tenant(tenant)]).await;
            verdict.check(name, &Ending::Ended(only(report.outcomes)));
        }
    };
    tokio::join!(caller(0), caller(1), caller(2), caller(3));
}

/// Runs a fixture in a row: one that is refused is admitted each time, one that is not is called each time.
async fn repeat(trial: &Trial, (name, verdict, bytes): &(&'static str, Verdict, Bytes), runs: usize) {
    if verdict.refused.is_some() {
        for _ in 0..runs {
            verdict.check(name, &verdict.run(trial, handler(name, verdict), bytes.clone()).await);
        }
        return;
    }
    let component = trial.admit(handler(name, verdict), bytes.clone()).await.unwrap();
    for _ in 0..runs {
        let report = component.call(&[verdict.event()]).await;
        verdict.check(name, &Ending::Ended(only(report.outcomes)));
    }
}

fn handler(name: &str, verdict: &Verdict) -> TrialHandler {
    let handler = verdict.handler(name);
    if !verdict.runs_out_of_time() {
        return handler;
    }
    TrialHandler { limits: GuestLimits { deadline: DEADLINE, ..handler.limits }, ..handler }
}

fn fixtures() -> Vec<(&'static str, Verdict, Bytes)> {
    let mut verdicts = verdict::all();
    let fixture = |name: &&'static str| {
        let verdict = verdicts.remove(*name).unwrap();
        let bytes = verdict.bytes().unwrap();
        (*name, verdict, bytes)
    };
    TESTS.iter().map(fixture).collect()
}

async fn neighbour(trial: &Trial) -> TrialComponent {
    trial.admit(verdict::handler("neighbour"), fixture::component(NEIGHBOUR)).await.unwrap()
}

async fn is_served(neighbour: &TrialComponent) {
    let outcome = only(neighbour.call(&[TrialEvent::default()]).await.outcomes);
    assert!(outcome.is_done(), "the neighbour: {outcome:?}");
}
