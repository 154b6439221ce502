//! Turns untrusted JSON values into values our columns accept.

use serde_json::{Map, Value};
use url::Url;

/// Longest address kept, in bytes.
const URL_BYTES: usize = 2048;
/// Longest identifier kept, in characters.
const ID_CHARS: usize = 64;
/// Longest handle the platform gives out, in characters.
const HANDLE_CHARS: usize = 30;
/// Cap for captions and biographies, in characters.
pub(crate) const TEXT_CHARS: usize = 10_000;
/// 2100-01-01 in epoch seconds; later moments are milliseconds or nonsense.
const LAST_MOMENT: i64 = 4_102_444_800;

/// Removes NUL characters from every string and key: Postgres refuses them in text and jsonb.
pub(crate) fn remove_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(items) => items.iter_mut().for_each(remove_nul),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(key, value)| (key.replace('\0', ""), value))
                    .collect::<Map<_, _>>();
            }
            map.values_mut().for_each(remove_nul);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text for people, cut to `max` characters. An empty text stays an empty text.
pub(crate) fn display(value: Option<&Value>, max: usize) -> Option<String> {
    value?.as_str().map(|text| truncated(text, max))
}

/// The first `max` characters of `text`, without NUL.
pub(crate) fn truncated(text: &str, max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max).collect()
}

/// A label such as a category; empty ones and the word "None" mean absent.
pub(crate) fn label(value: Option<&Value>, max: usize) -> Option<String> {
    let text = value?.as_str()?.trim();
    let absent =
        text.is_empty() || text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("null");
    (!absent).then(|| truncated(text, max))
}

/// An id given as a string or a whole number; at most 64 letters, digits, `_` or `-`.
pub(crate) fn identifier(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        _ => return None,
    };
    is_code(&text).then_some(text)
}

/// True for 1 to 64 ASCII letters, digits, `_` and `-`.
pub(crate) fn is_code(text: &str) -> bool {
    (1..=ID_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// An http or https address of at most 2048 bytes, as written.
pub(crate) fn web_url(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?.trim();
    if text.is_empty() || text.len() > URL_BYTES || text.contains(char::is_control) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| text.to_owned())
}

/// A handle in its stored form: lower case, without `@`; `None` when it cannot be one.
pub(crate) fn handle(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('@').unwrap_or(text);
    let valid = (1..=HANDLE_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
        && text.bytes().any(|b| b != b'.');
    valid.then(|| text.to_ascii_lowercase())
}

/// A whole, non-negative number. Negative counts mean "hidden" and are dropped.
pub(crate) fn count(value: Option<&Value>) -> Option<i64> {
    let number = match value? {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?))?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (number >= 0).then_some(number)
}

/// `{"count": n}` under `key`.
pub(crate) fn edge_count(object: &Value, key: &str) -> Option<i64> {
    count(object.get(key)?.get("count"))
}

/// The first value that is present among `keys`, mapped by `read`.
pub(crate) fn first<T>(
    object: &Value,
    keys: &[&str],
    read: impl Fn(Option<&Value>) -> Option<T>,
) -> Option<T> {
    keys.iter().find_map(|key| read(object.get(key)))
}

/// A number of pixels or children that fits its column.
pub(crate) fn small(value: Option<&Value>) -> Option<i32> {
    count(value).and_then(|number| i32::try_from(number).ok())
}

/// Seconds, possibly fractional, rounded to whole ones.
pub(crate) fn seconds(value: Option<&Value>) -> Option<i32> {
    let seconds = value?.as_f64()?.round();
    (0.0..=f64::from(i32::MAX)).contains(&seconds).then_some(seconds as i32)
}

/// A moment in epoch seconds, after 1970 and before 2100.
pub(crate) fn moment(value: Option<&Value>) -> Option<i64> {
    count(value).filter(|moment| (1..LAST_MOMENT).contains(moment))
}

/// A JSON boolean; anything else is absent.
pub(crate) fn flag(value: Option<&Value>) -> Option<bool> {
    value?.as_bool()
}

/// A JSON array, copied; anything else is absent.
pub(crate) fn array(value: Option<&Value>) -> Option<Value> {
    value.filter(|value| value.is_array()).cloned()
}

fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it a float no longer names one integer.
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_whole_and_never_negative() {
        for (value, expected) in [
            (json!(0), Some(0)),
            (json!(12), Some(12)),
            (json!(12.0), Some(12)),
            (json!("34"), Some(34)),
            (json!(-1), None),
            (json!("-1"), None),
            (json!(1.5), None),
            (json!(1e300), None),
            (json!(18_446_744_073_709_551_615_u64), None),
            (json!(null), None),
            (json!(true), None),
            (json!([1]), None),
        ] {
            assert_eq!(count(Some(&value)), expected, "{value}");
        }
        assert_eq!(count(None), None);
    }

    #[test]
    fn addresses_are_http_with_a_host() {
        let long = format!("https://a.test/{}", "x".repeat(URL_BYTES));
        for (text, kept) in [
            ("https://a.test/b?c=d", true),
            ("http://a.test", true),
            ("javascript:alert(1)", false),
            ("data:text/html,hi", false),
            ("ftp://a.test/x", false),
            ("linkin.test/x", false),
            ("//a.test/x", false),
            ("https://", false),
            ("https://a.test/\nX", false),
            ("", false),
            (long.as_str(), false),
        ] {
            assert_eq!(web_url(Some(&json!(text))).is_some(), kept, "{text}");
        }
    }

    #[test]
    fn handles_are_lower_case_and_checked() {
        for (text, expected) in [
            ("Ab_c.9", Some("ab_c.9")),
            (" @ab ", Some("ab")),
            ("", None),
            ("@", None),
            ("..", None),
            ("a b", None),
            ("añb", None),
            ("a/../b", None),
            ("a-b", None),
            ("abcdefghijklmnopqrstuvwxyz01234", None),
        ] {
            assert_eq!(handle(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn nul_leaves_strings_and_keys_at_any_depth() {
        let mut value = json!({"a\u{0}b": [{"c": "d\u{0}e"}], "f": 1});
        remove_nul(&mut value);
        assert_eq!(value, json!({"ab": [{"c": "de"}], "f": 1}));
    }

    #[test]
    fn texts_are_cut_on_a_character() {
        assert_eq!(display(Some(&json!("añ🙂b")), 3).as_deref(), Some("añ🙂"));
        assert_eq!(display(Some(&json!("")), 3).as_deref(), Some(""));
        assert_eq!(display(Some(&json!(5)), 3), None);
        assert_eq!(label(Some(&json!("None")), 9), None);
        assert_eq!(label(Some(&json!(" Cafe ")), 9).as_deref(), Some("Cafe"));
    }

    #[test]
    fn ids_durations_and_moments() {
        assert_eq!(identifier(Some(&json!(42))).as_deref(), Some("42"));
        assert_eq!(identifier(Some(&json!("42_7"))).as_deref(), Some("42_7"));
        assert_eq!(identifier(Some(&json!("4 2"))), None);
        assert_eq!(identifier(Some(&json!(-4))), None);
        assert_eq!(seconds(Some(&json!(12.6))), Some(13));
        assert_eq!(seconds(Some(&json!(-1.0))), None);
        assert_eq!(moment(Some(&json!(1_700_000_000))), Some(1_700_000_000));
        assert_eq!(moment(Some(&json!(1_700_000_000_000_i64))), None);
        assert_eq!(moment(Some(&json!(0))), None);
    }
}
