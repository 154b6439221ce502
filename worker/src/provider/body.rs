//! Limits on a response body: size while reading, nesting and number of values before parsing.

use reqwest::Response;

/// Most bytes read of one body.
pub(crate) const MAX_BODY: usize = 8 * 1024 * 1024;
/// Most bytes kept of a body nobody could read.
pub(crate) const MAX_RAW: usize = 64 * 1024;
/// Deepest nesting parsed.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most values parsed: bounds the memory of an 8 MiB body of tiny values.
const MAX_VALUES: usize = 1_000_000;

/// A body read up to its limit.
pub(crate) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// The first `limit` bytes of a longer one.
    Cut(Vec<u8>),
}

/// Reads at most `limit` bytes; stops at the first chunk that goes past them.
pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Body, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok(Body::Cut(bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body::Whole(bytes))
}

/// The body as text for keeping: at most 64 KiB, on a character, without NUL.
pub(crate) fn raw(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(MAX_RAW)]).replace('\0', "");
    text.truncate(text.floor_char_boundary(MAX_RAW));
    text
}

/// Says why a body must not be parsed: nested too deeply, or too many values.
pub(crate) fn refusal(body: &[u8]) -> Option<String> {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(format!("the body nests deeper than {MAX_DEPTH} levels"));
        }
        if values > MAX_VALUES {
            return Some(format!("the body holds more than {MAX_VALUES} values"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(refusal(nested(MAX_DEPTH).as_bytes()), None);
        assert!(refusal(nested(MAX_DEPTH + 1).as_bytes()).is_some());
        let text = format!(r#"{{"a": "\"{}"}}"#, "[".repeat(500));
        assert_eq!(refusal(text.as_bytes()), None);
        let siblings = format!("[{}]", vec!["[]"; 500].join(","));
        assert_eq!(refusal(siblings.as_bytes()), None);
    }

    #[test]
    fn a_flood_of_tiny_values_is_refused() {
        let flood = format!("[{}0]", "0,".repeat(MAX_VALUES + 1));
        assert!(refusal(flood.as_bytes()).is_some());
    }

    #[test]
    fn raw_is_bounded_and_whole_characters() {
        let long = "é".repeat(MAX_RAW);
        let kept = raw(long.as_bytes());
        assert_eq!(kept.len(), MAX_RAW);
        assert!(kept.chars().all(|c| c == 'é'));
        assert_eq!(raw(b"a\0b"), "ab");
        assert!(raw(&vec![0xFF; MAX_RAW]).len() <= MAX_RAW);
    }
}
