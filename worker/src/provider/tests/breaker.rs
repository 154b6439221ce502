use proptest::prelude::*;

use super::super::breaker::{Breaker, BreakerPolicy, CircuitState, Verdict};
use super::*;

/// The default policy, opening for a single handle too: what most of these tests are about does
/// not depend on handles.
fn policy() -> BreakerPolicy {
    BreakerPolicy { min_handles: 1, ..BreakerPolicy::default() }
}

#[test]
fn one_broken_handle_never_cuts_the_others_off() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    let fail = |breaker: &mut Breaker, handle: &str, second| {
        let permit = breaker.try_call(at(second)).unwrap().about(handle);
        breaker.record(permit, Verdict::Failure, at(second))
    };
    for second in 0..30 {
        assert!(!fail(&mut breaker, if second % 2 == 0 { "one" } else { "two" }, second));
    }
    assert!(fail(&mut breaker, "three", 30), "a third handle makes it the provider's failure");
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(breaker: &mut Breaker, verdict: Verdict, now: Duration) {
    let permit = breaker.try_call(now).expect("a call is let through");
    breaker.record(permit, verdict, now);
}

fn state(breaker: &Breaker, now: Duration) -> CircuitState {
    breaker.state(now).state
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new(policy());
    (0..5).for_each(|_| call(&mut breaker, Verdict::Failure, at(0)));
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_for_a_minute() {
    let mut breaker = Breaker::new(policy());
    for _ in 0..4 {
        call(&mut breaker, Verdict::Failure, at(0));
    }
    assert_eq!(state(&breaker, at(0)), CircuitState::Closed);
    call(&mut breaker, Verdict::Failure, at(0));
    let shown = breaker.state(at(20));
    assert_eq!((shown.state, shown.opens_again_in_ms), (CircuitState::Open, Some(40_000)));
    assert_eq!(shown.reason.as_deref(), Some("5 calls in a row failed"));
    assert_eq!(breaker.try_call(at(20)).unwrap_err().retry_after, at(40));
    assert_eq!(state(&breaker, at(60)), CircuitState::HalfOpen);
}

#[test]
fn a_success_breaks_the_row_and_neutral_calls_do_not() {
    let mut breaker = Breaker::new(BreakerPolicy { min_calls: 99, ..policy() });
    for verdict in [Verdict::Failure, Verdict::Failure, Verdict::Failure, Verdict::Failure] {
        call(&mut breaker, verdict, at(0));
    }
    call(&mut breaker, Verdict::Success, at(0));
    (0..4).for_each(|_| call(&mut breaker, Verdict::Failure, at(0)));
    assert_eq!(state(&breaker, at(0)), CircuitState::Closed);
    (0..50).for_each(|_| call(&mut breaker, Verdict::Neutral, at(0)));
    call(&mut breaker, Verdict::Failure, at(0));
    assert_eq!(state(&breaker, at(0)), CircuitState::Open);
}

#[test]
fn half_of_ten_calls_within_the_window_open_it() {
    let alternating = |breaker: &mut Breaker, seconds: &[u64]| {
        for (index, second) in seconds.iter().enumerate() {
            let verdict = if index % 2 == 0 { Verdict::Success } else { Verdict::Failure };
            call(breaker, verdict, at(*second));
        }
    };
    let mut breaker = Breaker::new(policy());
    alternating(&mut breaker, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(state(&breaker, at(8)), CircuitState::Closed, "nine calls are too few");
    call(&mut breaker, Verdict::Failure, at(9));
    assert_eq!(state(&breaker, at(9)), CircuitState::Open);
    let reason = breaker.state(at(9)).reason.unwrap();
    assert_eq!(reason, "5 of 10 calls within 60 s failed");

    let mut slow = Breaker::new(policy());
    let spread: Vec<u64> = (0..40).map(|n| n * 7).collect();
    alternating(&mut slow, &spread);
    assert_eq!(state(&slow, at(280)), CircuitState::Closed, "only nine fall into any window");
}

#[test]
fn one_probe_at_a_time_and_three_successes_close_it() {
    let mut breaker = opened();
    let probe = breaker.try_call(at(60)).unwrap();
    assert!(breaker.try_call(at(60)).is_err(), "the probe is under way");
    breaker.record(probe, Verdict::Success, at(61));
    call(&mut breaker, Verdict::Success, at(62));
    assert_eq!(state(&breaker, at(62)), CircuitState::HalfOpen);
    call(&mut breaker, Verdict::Neutral, at(63));
    assert_eq!(state(&breaker, at(63)), CircuitState::HalfOpen);
    call(&mut breaker, Verdict::Success, at(64));
    let shown = breaker.state(at(64));
    assert_eq!((shown.state, shown.reason), (CircuitState::Closed, None));
}

#[test]
fn failed_probes_double_the_time_up_to_eight_fold_and_closing_forgets_it() {
    let mut breaker = opened();
    let mut now = at(60);
    for open_for in [120, 240, 480, 480] {
        call(&mut breaker, Verdict::Failure, now);
        assert_eq!(breaker.try_call(now).unwrap_err().retry_after, at(open_for));
        assert!(breaker.try_call(now + at(open_for - 1)).is_err());
        now += at(open_for);
    }
    (0..3).for_each(|_| call(&mut breaker, Verdict::Success, now));
    assert_eq!(state(&breaker, now), CircuitState::Closed);
    (0..5).for_each(|_| call(&mut breaker, Verdict::Failure, now));
    assert_eq!(breaker.try_call(now).unwrap_err().retry_after, at(60));
}

#[test]
fn late_results_of_an_earlier_phase_are_ignored() {
    let mut breaker = Breaker::new(policy());
    let late_good = breaker.try_call(at(0)).unwrap();
    let late_bad = breaker.try_call(at(0)).unwrap();
    (0..5).for_each(|_| call(&mut breaker, Verdict::Failure, at(0)));
    breaker.record(late_good, Verdict::Success, at(1));
    assert_eq!(state(&breaker, at(1)), CircuitState::Open);
    let probe = breaker.try_call(at(60)).unwrap();
    breaker.record(late_bad, Verdict::Failure, at(60));
    assert_eq!(state(&breaker, at(60)), CircuitState::HalfOpen);
    assert!(breaker.try_call(at(60)).is_err(), "the probe still holds its place");
    breaker.record(probe, Verdict::Success, at(61));
    assert!(breaker.try_call(at(61)).is_ok());
}

#[test]
fn the_state_has_the_words_of_health() {
    let shown = serde_json::to_value(opened().state(at(1))).unwrap();
    let expected =
        json!({"state": "open", "reason": "5 calls in a row failed", "opens_again_in_ms": 59_000});
    assert_eq!(shown, expected);
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Success), Just(Verdict::Failure), Just(Verdict::Neutral)]
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(
        steps in prop::collection::vec((0_u64..90, verdict(), any::<bool>()), 1..300)
    ) {
        let mut breaker = Breaker::new(policy());
        let (mut now, mut pending) = (Duration::ZERO, Vec::new());
        for (wait, verdict, start) in steps {
            now += Duration::from_secs(wait);
            let before = breaker.state(now);
            if start {
                let asked = breaker.try_call(now);
                match (before.state, &asked) {
                    (CircuitState::Open, asked) => prop_assert!(asked.is_err()),
                    (CircuitState::Closed, asked) => prop_assert!(asked.is_ok()),
                    _ => {}
                }
                if let Ok(permit) = asked {
                    pending.push(permit);
                    // While half-open the permit just given is the only one.
                    if before.state == CircuitState::HalfOpen {
                        prop_assert!(breaker.try_call(now).is_err());
                    }
                }
            } else if let Some(permit) = pending.pop() {
                breaker.record(permit, verdict, now);
            }
            let after = breaker.state(now);
            prop_assert!(after.opens_again_in_ms.unwrap_or(0) <= 8 * 60_000);
            prop_assert_eq!(after.opens_again_in_ms.is_some(), after.state == CircuitState::Open);
            prop_assert_eq!(after.reason.is_none(), after.state == CircuitState::Closed);
        }
    }

    #[test]
    fn without_failures_it_never_opens(
        good in prop::collection::vec(any::<bool>(), 1..200)
    ) {
        let mut breaker = Breaker::new(policy());
        for (second, success) in good.into_iter().enumerate() {
            let verdict = if success { Verdict::Success } else { Verdict::Neutral };
            call(&mut breaker, verdict, at(second as u64));
        }
        prop_assert_eq!(state(&breaker, at(1_000)), CircuitState::Closed);
    }
}
