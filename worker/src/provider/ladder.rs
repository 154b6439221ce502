//! The order of calls for one profile, and when to stop. A state machine without I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::answer::Answer;
use super::{
    CALLS_PER_ATTEMPT, CallBudget, CallOutcome, CallRecord, EMPTIES_FOR_NOT_FOUND, FetchOutcome,
};

/// One way of asking for a profile.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Name in [`CallRecord::step`].
    pub name: &'static str,
    pub target: &'static str,
    pub render_js: bool,
    pub geo: Option<&'static str>,
}

const GRAPH: &str = "instagram_graphql_profile";
const FLAT: &str = "instagram_profile";

/// The ladder, cheapest hope first.
pub(crate) const STEPS: [Step; CALLS_PER_ATTEMPT as usize] = [
    Step { name: "graphql_js", target: GRAPH, render_js: true, geo: None },
    Step { name: "graphql_plain", target: GRAPH, render_js: false, geo: None },
    Step { name: "graphql_js_us", target: GRAPH, render_js: true, geo: Some("US") },
    Step { name: "graphql_plain_us", target: GRAPH, render_js: false, geo: Some("US") },
    Step { name: "profile_js", target: FLAT, render_js: true, geo: None },
];

/// What to do after a call.
#[derive(Debug)]
pub(crate) enum Next {
    Stop(FetchOutcome),
    /// Go on with the next step after a pause.
    Pause {
        /// The provider's `Retry-After`.
        at_least: Option<Duration>,
        /// The last call failed, so the next one draws on the retry budget.
        retry: bool,
    },
}

/// One climb of the ladder.
#[derive(Debug)]
pub(crate) struct Climb {
    limit: usize,
    calls: Vec<CallRecord>,
    empties: u32,
    garbage: Option<(String, String)>,
    trouble: Option<String>,
    retry_after: Option<Duration>,
    in_flight: Option<(&'static Step, Instant)>,
}

impl Climb {
    pub(crate) fn new(budget: CallBudget) -> Self {
        Self {
            limit: budget.calls.min(CALLS_PER_ATTEMPT) as usize,
            calls: Vec::new(),
            empties: budget.empties_before,
            garbage: None,
            trouble: None,
            retry_after: None,
            in_flight: None,
        }
    }

    /// The step of the next call; `None` when the budget is used up.
    pub(crate) fn next_step(&self) -> Option<&'static Step> {
        STEPS.iter().take(self.limit).nth(self.calls.len())
    }

    /// True before any call.
    pub(crate) fn at_start(&self) -> bool {
        self.calls.is_empty()
    }

    /// Marks a call as sent, so that breaking it off still counts it.
    pub(crate) fn sent(&mut self, step: &'static Step) {
        self.in_flight = Some((step, Instant::now()));
    }

    /// Takes the answer to the call under way.
    pub(crate) fn answered(&mut self, status: Option<u16>, answer: Answer) -> Next {
        self.land(answer.outcome(), status);
        let empty = matches!(answer, Answer::Empty);
        self.empties = if empty { self.empties.saturating_add(1) } else { 0 };
        self.retry_after = None;
        match answer {
            Answer::Found(profile) => return Next::Stop(FetchOutcome::Found(profile)),
            Answer::Auth => return Next::Stop(FetchOutcome::AuthBroken),
            Answer::Fatal { status, raw } => {
                let reason = format!(
                    "the provider refused the request with HTTP {status}; check the request \
                     against its documentation"
                );
                return Next::Stop(FetchOutcome::BadShape { reason, raw });
            }
            Answer::Empty if self.empties >= EMPTIES_FOR_NOT_FOUND => {
                return Next::Stop(FetchOutcome::NotFound);
            }
            Answer::Empty => {}
            Answer::Garbage { reason, raw, .. } => self.garbage = Some((reason, raw)),
            Answer::Unstable { reason, retry_after, .. } => {
                self.trouble = Some(reason);
                self.retry_after = retry_after;
            }
        }
        if self.next_step().is_none() {
            return Next::Stop(self.ended("the call budget is used up"));
        }
        Next::Pause { at_least: self.retry_after, retry: !empty }
    }

    /// Records the call under way, if any, as broken off.
    pub(crate) fn broken_off(&mut self, outcome: CallOutcome) {
        if self.in_flight.is_some() {
            self.land(outcome, None);
            if outcome != CallOutcome::Cancelled {
                self.empties = 0;
                self.trouble = Some("the last call was cut short".to_owned());
            }
        }
    }

    /// The outcome when no good answer came. Garbage wins: it is an answer, and asking again
    /// brought nothing better.
    pub(crate) fn ended(&mut self, why: &str) -> FetchOutcome {
        if let Some((reason, raw)) = self.garbage.take() {
            return FetchOutcome::BadShape { reason, raw };
        }
        let calls = self.calls.len();
        let mut reason = format!("{why} after {calls} calls");
        if self.empties > 0 {
            reason.push_str(&format_empties(self.empties));
        } else if let Some(trouble) = &self.trouble {
            reason = format!("{reason}; the last trouble: {trouble}");
        }
        self.unavailable(reason)
    }

    /// The outcome when something outside the ladder forbids the next call.
    pub(crate) fn unavailable(&self, reason: impl Into<String>) -> FetchOutcome {
        FetchOutcome::Unavailable { reason: reason.into(), retry_after: self.retry_after }
    }

    /// The calls made.
    pub(crate) fn into_calls(self) -> Vec<CallRecord> {
        self.calls
    }

    fn land(&mut self, outcome: CallOutcome, http_status: Option<u16>) {
        let Some((step, since)) = self.in_flight.take() else { return };
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.calls.push(CallRecord { step: step.name.to_owned(), outcome, http_status, ms });
    }
}

fn format_empties(empties: u32) -> String {
    format!(
        "; empty answers in a row: {empties}, and only {EMPTIES_FOR_NOT_FOUND} say that the \
         profile does not exist"
    )
}
