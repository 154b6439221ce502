//! Small rules about what clients may ask for.

use entity::Time;

use crate::problem::Problem;

/// Longest wait of a request, in seconds.
pub const MAX_WAIT_S: u64 = 25;
/// Largest page.
pub const MAX_PAGE: u64 = 100;

/// `Prefer: wait=N` in seconds, at most [`MAX_WAIT_S`]; other preferences are passed over, as
/// the standard says.
pub fn prefer_wait(prefer: Option<&str>) -> Result<Option<u64>, Problem> {
    for preference in prefer.unwrap_or_default().split([',', ';']) {
        let (name, wait) = preference.split_once('=').unwrap_or((preference, ""));
        if name.trim().eq_ignore_ascii_case("wait") {
            let wait = wait.trim().trim_matches('"');
            let seconds: u64 = wait.parse().map_err(|_| {
                Problem::field("Prefer", "wait must be a whole number of seconds from 0 to 25")
            })?;
            return Ok(Some(seconds.min(MAX_WAIT_S)));
        }
    }
    Ok(None)
}

/// `?wait=N` in seconds, 0 to [`MAX_WAIT_S`].
pub fn query_wait(wait: Option<i64>) -> Result<Option<u64>, Problem> {
    match wait {
        None => Ok(None),
        Some(n) if (0..=MAX_WAIT_S as i64).contains(&n) => Ok(Some(n as u64)),
        Some(_) => Err(Problem::field("wait", "must be from 0 to 25 seconds")),
    }
}

/// `?limit=N`, 1 to [`MAX_PAGE`].
pub fn limit(limit: Option<i64>, default: u64) -> Result<u64, Problem> {
    match limit {
        None => Ok(default),
        Some(n) if (1..=MAX_PAGE as i64).contains(&n) => Ok(n as u64),
        Some(_) => Err(Problem::field("limit", "must be from 1 to 100")),
    }
}

/// A calendar month: `YYYY-MM`.
pub fn month(text: &str) -> Result<String, Problem> {
    let parts = text.split_once('-').filter(|(year, month)| {
        let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
        digits(year, 4) && digits(month, 2) && ("01"..="12").contains(month)
    });
    match parts {
        Some(_) => Ok(text.to_owned()),
        None => Err(Problem::field("month_year", "must be a month like 2026-11")),
    }
}

/// An RFC 3339 time.
pub fn time(field: &str, text: &str) -> Result<Time, Problem> {
    entity::time::parse_rfc3339(text)
        .ok_or_else(|| Problem::field(field, "must be a time like 2026-11-22T15:00:00Z"))
}

/// The name of a kind this process knows.
pub fn kind(text: &str) -> Result<String, Problem> {
    if jobs::Kind::parse(text).is_some() {
        return Ok(text.to_owned());
    }
    let kinds = jobs::Kind::words().join(", ");
    Err(Problem::field("kind", format!("must be one of {kinds}")))
}

/// A line of text of at most `max` characters; what databases and logs cannot keep is refused.
pub fn line(field: &str, text: &str, max: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > max {
        return Err(Problem::body(field, format!("must be at most {max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::body(field, "must be one line without control characters"));
    }
    Ok(text.to_owned())
}

/// Whether `If-None-Match` names this tag (weakly compared) or `*`.
pub fn none_match(if_none_match: Option<&str>, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match
        .is_some_and(|tags| tags.split(',').any(|t| t.trim() == "*" || bare(t) == bare(etag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &str) -> Result<Option<u64>, String> {
        prefer_wait(Some(value)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn waits_are_whole_seconds_and_capped() {
        assert_eq!(prefer("wait=10"), Ok(Some(10)));
        assert_eq!(prefer("respond-async, wait=100"), Ok(Some(25)));
        assert_eq!(prefer("return=minimal"), Ok(None));
        for bad in ["wait=-1", "wait=soon", "wait", "wait=1.5", "wait=99999999999999999999999"] {
            assert!(prefer(bad).unwrap_err().contains("Prefer"), "{bad}");
        }
        assert!(query_wait(Some(-1)).is_err());
        assert!(query_wait(Some(26)).is_err());
        assert_eq!(query_wait(Some(0)).unwrap(), Some(0));
    }

    #[test]
    fn tags_are_compared_weakly() {
        let tags = Some("\"a\", W/\"b\"");
        assert!(none_match(tags, "\"b\""));
        assert!(!none_match(tags, "\"c\""));
        assert!(none_match(Some("*"), "\"c\""));
        assert!(!none_match(None, "\"c\""));
    }
}
