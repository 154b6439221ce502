//! Which handles are handles, and which of them misbehave on purpose.

/// What the provider does when it is asked for a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// A deterministic profile.
    Ordinary,
    /// A profile that exists, counts posts and shows none.
    Private,
    /// A well-formed answer without a user: nobody has this name.
    Missing,
    /// An ordinary answer, after a long while.
    Slow,
    /// HTTP 500, then "failed 613", then an ordinary answer, and again from the start.
    Flaky,
    /// HTTP 500, always.
    Down,
    /// HTTP 200 and a user of the wrong types.
    Garbage,
    /// An ordinary profile in a body over 8 MiB.
    Huge,
    /// HTTP 429 twice, then an ordinary answer, and again from the start.
    Limited,
    /// HTTP 401, always.
    Unauthorized,
    /// HTTP 200 and "pending", always.
    Pending,
    /// HTTP 200 and a body that breaks off.
    Truncated,
}

impl Conduct {
    /// The conduct that belongs to a handle.
    pub fn of(handle: &str) -> Self {
        match handle {
            "demo_private" => Self::Private,
            "demo_missing" => Self::Missing,
            "demo_slow" => Self::Slow,
            "demo_flaky" => Self::Flaky,
            "demo_down" => Self::Down,
            "demo_garbage" => Self::Garbage,
            "demo_huge" => Self::Huge,
            "demo_limited" => Self::Limited,
            "demo_unauthorized" => Self::Unauthorized,
            "demo_pending" => Self::Pending,
            "demo_truncated" => Self::Truncated,
            _ => Self::Ordinary,
        }
    }
}

/// Lower-cases a query and returns it when it is a valid handle: 1 to 30 of `a-z 0-9 . _`, no dot
/// at either end, no two dots in a row. That also makes it safe as a file name.
pub fn valid(query: &str) -> Option<String> {
    let handle = query.to_ascii_lowercase();
    let spelled =
        handle.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_'));
    let dots = handle.starts_with('.') || handle.ends_with('.') || handle.contains("..");
    ((1..=30).contains(&handle.len()) && spelled && !dots).then_some(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_follow_the_rules() {
        for good in ["a", "demo_travel", "a.b", "_x_", "Demo_Food", &"x".repeat(30)] {
            assert!(valid(good).is_some(), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a/b", "../etc", "é", "a b", "@a", &"x".repeat(31)] {
            assert!(valid(bad).is_none(), "{bad}");
        }
        assert_eq!(valid("Demo_Food").as_deref(), Some("demo_food"));
    }
}
