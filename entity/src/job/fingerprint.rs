//! Which failures are the same one: numbers, ids and quoted names differ from job to job, the rest
//! of the sentence does not.

/// The fingerprint of a failure: its code, and a hash of its sentence without what differs. It is
/// stored, so the same words must give the same text in every version.
pub(super) fn of(code: &str, message: &str) -> String {
    // FNV-1a: small, and never another.
    let hash = bare(message)
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{code}-{hash:08x}")
}

/// The sentence in lower case, with `#` for every word that has a digit or stands in quotes.
fn bare(message: &str) -> String {
    let mut bare = String::with_capacity(message.len());
    let mut quote = None;
    let mut word = String::new();
    for c in message.chars().chain([' ']) {
        if let Some(end) = quote {
            if c == end {
                quote = None;
            }
            continue;
        }
        if c.is_alphanumeric() || "-_.".contains(c) {
            word.extend(c.to_lowercase());
            continue;
        }
        let differs = word.chars().any(|c| c.is_ascii_digit());
        bare.push_str(if differs { "#" } else { &word });
        word.clear();
        if matches!(c, '"' | '`') {
            quote = Some(c);
            bare.push('#');
        } else if !(c.is_whitespace() && bare.ends_with(' ')) {
            bare.push(c);
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_job_to_job_does_not_count() {
        for (one, other) in [
            ("the provider answered 502 after 3 calls", "the provider answered 503 after 5 calls"),
            ("no job 0190f3c2-7d11-7abc and so on", "no job 7777f3c2-7d11-7abc and so on"),
            ("missing field `a` at line 1 column 9", "missing field `b` at line 7 column 53"),
            ("Timed out", "timed   out"),
        ] {
            assert_eq!(of("x", one), of("x", other), "{one} / {other}");
        }
    }

    #[test]
    fn another_code_or_sentence_is_another_failure() {
        assert_ne!(of("x", "the provider is away"), of("y", "the provider is away"));
        assert_ne!(of("x", "the provider is away"), of("x", "the provider is ill"));
    }

    #[test]
    fn the_stored_text_stays_as_it_is() {
        assert_eq!(of("child_failed", ""), "child_failed-250c8f7f");
        assert_eq!(of("poison", "3 workers died while running it"), "poison-26771af8");
    }
}
