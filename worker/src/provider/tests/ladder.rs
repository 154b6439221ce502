use super::super::answer::Answer;
use super::super::ladder::{Climb, Next, STEPS};
use super::*;

fn garbage() -> Answer {
    Answer::Garbage {
        outcome: CallOutcome::BadShape,
        reason: "odd".to_owned(),
        raw: "body".to_owned(),
    }
}

fn down() -> Answer {
    Answer::unstable("down")
}

fn good() -> Answer {
    Answer::Found(Box::new(super::super::mapping::profile(user(), "asked")))
}

/// Climbs with `answers` until the ladder stops.
fn climb(budget: CallBudget, answers: Vec<Answer>) -> FetchReport {
    let mut climb = Climb::new(budget);
    let mut answers = answers.into_iter();
    let outcome = loop {
        let Some(step) = climb.next_step() else { break climb.ended("the call budget is used up") };
        climb.sent(step);
        if let Next::Stop(outcome) = climb.answered(Some(200), answers.next().unwrap()) {
            break outcome;
        }
    };
    FetchReport { calls: climb.into_calls(), outcome }
}

fn name(outcome: &FetchOutcome) -> &'static str {
    match outcome {
        FetchOutcome::Found(_) => "found",
        FetchOutcome::NotFound => "not_found",
        FetchOutcome::Unavailable { .. } => "unavailable",
        FetchOutcome::AuthBroken => "auth",
        FetchOutcome::BadShape { .. } => "bad_shape",
        FetchOutcome::Cancelled => "cancelled",
    }
}

#[test]
fn endings() {
    let fatal = || Answer::Fatal { status: 400, raw: String::new() };
    let auth = || Answer::Auth;
    let empty = || Answer::Empty;
    let cases: Vec<(u32, u32, Vec<Answer>, &str, usize)> = vec![
        (5, 0, vec![good()], "found", 1),
        (5, 0, vec![down(), garbage(), empty(), good()], "found", 4),
        (5, 0, vec![empty(), empty(), empty()], "not_found", 3),
        (5, 0, vec![empty(), empty(), down(), empty(), empty()], "unavailable", 5),
        (5, 2, vec![empty()], "not_found", 1),
        (5, 2, vec![down(), empty(), empty(), empty()], "not_found", 4),
        (2, 0, vec![empty(), empty()], "unavailable", 2),
        (2, 1, vec![empty(), empty()], "not_found", 2),
        (5, 0, vec![auth()], "auth", 1),
        (5, 0, vec![down(), auth()], "auth", 2),
        (5, 0, vec![fatal()], "bad_shape", 1),
        (5, 0, vec![down(), down(), down(), down(), down()], "unavailable", 5),
        (5, 0, vec![garbage(), down(), down(), down(), down()], "bad_shape", 5),
        (1, 0, vec![garbage()], "bad_shape", 1),
        (5, 0, vec![garbage(), empty(), empty(), empty()], "not_found", 4),
        (0, 0, vec![], "unavailable", 0),
        (99, 0, vec![down(), down(), down(), down(), down()], "unavailable", 5),
    ];
    for (index, (calls, empties_before, answers, expected, made)) in cases.into_iter().enumerate() {
        let report = climb(CallBudget { empties_before, ..budget(calls) }, answers);
        assert_eq!(name(&report.outcome), expected, "case {index}");
        assert_eq!(report.calls.len(), made, "case {index}");
        for (call, step) in report.calls.iter().zip(&STEPS) {
            assert_eq!(call.step, step.name, "case {index}");
        }
    }
}

#[test]
fn reasons_say_what_happened() {
    let report = climb(budget(2), vec![Answer::Empty, Answer::Empty]);
    let FetchOutcome::Unavailable { reason, .. } = report.outcome else { panic!() };
    assert!(reason.contains("empty answers in a row: 2"), "{reason}");
    let report = climb(budget(1), vec![down()]);
    let FetchOutcome::Unavailable { reason, .. } = report.outcome else { panic!() };
    assert!(reason.contains("down"), "{reason}");
    let report = climb(budget(1), vec![Answer::Fatal { status: 418, raw: "b".to_owned() }]);
    let FetchOutcome::BadShape { reason, raw } = report.outcome else { panic!() };
    assert!(reason.contains("HTTP 418") && raw == "b", "{reason}");
}

#[test]
fn only_failures_draw_on_the_retry_budget() {
    for (answer, expected) in [(Answer::Empty, false), (down(), true), (garbage(), true)] {
        let mut climb = Climb::new(budget(5));
        climb.sent(climb.next_step().unwrap());
        let Next::Pause { retry, .. } = climb.answered(Some(200), answer) else { panic!() };
        assert_eq!(retry, expected);
    }
}

#[test]
fn the_row_of_empties_carries_over_attempts() {
    let report = climb(budget(4), vec![down(), Answer::Empty, down(), Answer::Empty]);
    assert_eq!(report.empties_in_a_row(2), 1);
    let report = climb(budget(1), vec![Answer::Empty]);
    assert_eq!(report.empties_in_a_row(1), 2);
    let nothing = FetchReport { calls: Vec::new(), outcome: FetchOutcome::Cancelled };
    assert_eq!(nothing.empties_in_a_row(2), 2);
}

#[test]
fn budgets_of_a_job() {
    for (used, calls) in [(0, 5), (5, 5), (6, 4), (9, 1), (10, 0), (99, 0)] {
        assert_eq!(CallBudget::for_job(used, 0).calls, calls, "{used}");
    }
}
