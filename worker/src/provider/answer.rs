//! What one body says: a profile, nothing, a passing failure, or garbage. Pure functions.

use std::time::Duration;

use serde_json::Value;

use super::breaker::Verdict;
use super::{CallOutcome, FetchedProfile, body, clean, mapping, mapping_basic};

/// The vendor's code for "could not fetch the target", sent with HTTP 200.
const TASK_FAILED: i64 = 613;
/// The vendor's code for "target not found" in parsed answers.
const TARGET_NOT_FOUND: i64 = 12_009;

/// One call's answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Found(Box<FetchedProfile>),
    Empty,
    Unstable { outcome: CallOutcome, reason: String, retry_after: Option<Duration> },
    Auth,
    Fatal { status: u16, raw: String },
    Garbage { outcome: CallOutcome, reason: String, raw: String },
}

impl Answer {
    pub(crate) fn unstable(reason: impl Into<String>) -> Self {
        let (outcome, retry_after) = (CallOutcome::Instability, None);
        Self::Unstable { outcome, reason: reason.into(), retry_after }
    }

    pub(crate) fn outcome(&self) -> CallOutcome {
        match self {
            Self::Found(profile) if profile.is_private == Some(true) => CallOutcome::Private,
            Self::Found(_) => CallOutcome::Ok,
            Self::Empty => CallOutcome::Empty,
            Self::Unstable { outcome, .. } | Self::Garbage { outcome, .. } => *outcome,
            Self::Auth => CallOutcome::Auth,
            Self::Fatal { .. } => CallOutcome::FatalStatus,
        }
    }

    /// What the circuit breaker learns. Refused requests and one unreadable profile say nothing
    /// about the provider's health.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Found(_) | Self::Empty => Verdict::Success,
            Self::Unstable { .. } => Verdict::Failure,
            Self::Auth | Self::Fatal { .. } | Self::Garbage { .. } => Verdict::Neutral,
        }
    }
}

/// Reads the body of an HTTP 200.
pub(crate) fn read(bytes: &[u8], handle: &str) -> Answer {
    let garbage = |reason: String| Answer::Garbage {
        outcome: CallOutcome::BadShape,
        reason,
        raw: body::raw(bytes),
    };
    match parse(bytes) {
        Ok(root) => match classify(root, handle) {
            Reading::Answer(answer) => answer,
            Reading::Garbage(reason) => garbage(reason),
        },
        Err(Unparsed::Refused(reason)) => garbage(reason),
        // Half a body is a broken transfer, not a changed format.
        Err(Unparsed::Invalid(error)) => Answer::unstable(format!(
            "the body is not JSON at line {}, column {}",
            error.line(),
            error.column()
        )),
    }
}

enum Reading {
    Answer(Answer),
    Garbage(String),
}

impl Reading {
    fn unstable(reason: impl Into<String>) -> Self {
        Self::Answer(Answer::unstable(reason))
    }

    fn garbage(reason: &str) -> Self {
        Self::Garbage(reason.to_owned())
    }
}

enum Unparsed {
    Refused(String),
    Invalid(serde_json::Error),
}

fn parse(bytes: &[u8]) -> Result<Value, Unparsed> {
    if let Some(reason) = body::refusal(bytes) {
        return Err(Unparsed::Refused(reason));
    }
    serde_json::from_slice(bytes).map_err(Unparsed::Invalid)
}

fn classify(mut root: Value, handle: &str) -> Reading {
    if !root.is_object() {
        return Reading::garbage("the body is JSON but not an object");
    }
    let results = root.get("results").is_some_and(|results| !results.is_null());
    if let Some(reason) = failed_task(&root, results) {
        return Reading::unstable(reason);
    }
    if !results {
        // The vendor's own example of the flat shape comes without the `results` wrapper.
        let wrapped = ["/data/user", "/data/content"].iter().any(|at| root.pointer(at).is_some());
        return if wrapped {
            content(root, None, handle)
        } else {
            Reading::garbage("the body has neither results nor a profile")
        };
    }
    match root.get_mut("results").and_then(Value::as_array_mut) {
        Some(items) => match items.first_mut() {
            Some(Value::Object(item)) => {
                let inner = code(item.get("status_code"));
                let inside = item.get_mut("content").map(Value::take).unwrap_or_default();
                content(inside, inner, handle)
            }
            Some(_) => Reading::garbage("the first result is not an object"),
            None => Reading::unstable("the answer has no result"),
        },
        None => Reading::garbage("results is not an array"),
    }
}

/// Says why the vendor's task did not finish, when the body says so.
fn failed_task(root: &Value, results: bool) -> Option<String> {
    if code(root.get("status_code")) == Some(TASK_FAILED) {
        return Some(format!("the provider could not fetch the target (code {TASK_FAILED})"));
    }
    let named = root.get("task_id").or_else(|| root.get("id")).is_some();
    if let Some(status) = failing_status(root).filter(|_| named || !results) {
        return Some(format!("the provider's task is {status}"));
    }
    let message = root.get("message").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let complains = message.contains("fail") || message.contains("error");
    (!results && complains).then(|| "the provider answered with an error message".to_owned())
}

fn failing_status(object: &Value) -> Option<&'static str> {
    let status = object.get("status")?.as_str()?;
    ["failed", "error", "pending", "fail"].into_iter().find(|s| status.eq_ignore_ascii_case(s))
}

fn content(mut content: Value, inner: Option<i64>, handle: &str) -> Reading {
    // Some answers carry the document as text.
    if let Value::String(text) = &content {
        content = if text.trim().is_empty() {
            Value::Null
        } else {
            match parse(text.as_bytes()) {
                Ok(Value::String(_)) => return Reading::garbage("the content is only text"),
                Ok(parsed) => parsed,
                Err(_) => {
                    return missing(inner)
                        .unwrap_or_else(|| Reading::garbage("the content is text but not JSON"));
                }
            }
        };
    }
    if inner == Some(TASK_FAILED) || code(content.get("status_code")) == Some(TASK_FAILED) {
        return Reading::unstable("the provider could not fetch the target (code 613)");
    }
    if content.is_null() {
        return missing(inner).unwrap_or_else(|| Reading::unstable("the result has no content"));
    }
    if !content.is_object() {
        return Reading::garbage("the content is not an object");
    }
    if let Some(found) = profile_in(&mut content, handle) {
        return found;
    }
    let deeper = code(content.pointer("/data/status_code")).or(code(content.get("status_code")));
    if let Some(reading) = missing(inner).or_else(|| missing(deeper)) {
        return reading;
    }
    match failing_status(&content) {
        // The platform refusing the vendor is no evidence that the profile is gone.
        Some(status) => Reading::unstable(format!("the content's status is {status}")),
        None => Reading::Answer(Answer::Empty),
    }
}

/// The profile in either shape, or the complaint that what stands in its place is not one.
fn profile_in(content: &mut Value, handle: &str) -> Option<Reading> {
    let found = |profile| Reading::Answer(Answer::Found(Box::new(profile)));
    if let Some(user) = content.pointer_mut("/data/user").map(Value::take) {
        if mapping::is_user(&user) {
            return Some(found(mapping::profile(user, handle)));
        }
        let empty = user.is_null() || user.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            return Some(Reading::garbage("data.user has no known field"));
        }
    }
    let flat = if mapping_basic::is_basic(content) {
        content
    } else {
        content.pointer_mut("/data/content").filter(|inside| mapping_basic::is_basic(inside))?
    };
    Some(found(mapping_basic::profile(flat.take(), handle)))
}

/// What an inner status code says when there is no profile.
fn missing(code: Option<i64>) -> Option<Reading> {
    match code? {
        404 | TARGET_NOT_FOUND => Some(Reading::Answer(Answer::Empty)),
        // Here 401 and 403 are the platform refusing the vendor, not the vendor refusing us.
        code @ (401 | 403 | 429 | 500..=599 | TASK_FAILED | 12_001..=12_008) => {
            Some(Reading::unstable(format!("the provider could not read the target (code {code})")))
        }
        _ => None,
    }
}

fn code(value: Option<&Value>) -> Option<i64> {
    clean::count(value)
}
