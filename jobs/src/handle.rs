//! An Instagram handle, checked once at the door.

use serde::{Deserialize, Serialize};

/// A valid handle in lower case, without `@`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

/// Why a text is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Nothing in it.
    #[error("must not be empty")]
    Empty,
    /// Instagram allows 30.
    #[error("must be at most 30 characters")]
    TooLong,
    /// Only these.
    #[error("may contain only letters a-z, digits, dots and underscores")]
    Character,
    /// Instagram refuses these.
    #[error("must not begin or end with a dot or contain two dots in a row")]
    Dots,
}

impl Handle {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        let text = text.strip_prefix('@').unwrap_or(text);
        if text.is_empty() {
            return Err(HandleError::Empty);
        }
        if text.chars().count() > 30 {
            return Err(HandleError::TooLong);
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_') {
            return Err(HandleError::Character);
        }
        if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
            return Err(HandleError::Dots);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for Handle {
    type Error = HandleError;

    fn try_from(text: String) -> Result<Self, HandleError> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_normalised_or_refused_with_the_rule() {
        for (text, want) in [
            ("@Demo.Travel_1", Ok("demo.travel_1")),
            ("a", Ok("a")),
            ("", Err(HandleError::Empty)),
            ("@", Err(HandleError::Empty)),
            (&"a".repeat(31), Err(HandleError::TooLong)),
            ("a/b", Err(HandleError::Character)),
            ("a b", Err(HandleError::Character)),
            ("é", Err(HandleError::Character)),
            ("a\0", Err(HandleError::Character)),
            (".a", Err(HandleError::Dots)),
            ("a..b", Err(HandleError::Dots)),
        ] {
            let got = text.parse::<Handle>();
            assert_eq!(got.as_ref().map(Handle::as_str).map_err(|e| *e), want, "{text:?}");
        }
    }
}
