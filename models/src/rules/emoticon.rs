//! Faces written with punctuation.

/// Those that are no eyes and mouth, as written and as looked up.
const OTHERS: [(&str, &str); 12] = [
    ("</3", "</3"),
    ("<3", "<3"),
    ("^^", ":)"),
    ("^_^", ":)"),
    ("^-^", ":)"),
    ("xD", ":D"),
    ("XD", ":D"),
    ("-_-", ":/"),
    ("T_T", ":("),
    ("T.T", ":("),
    (":')", ":)"),
    (":'(", ":("),
];

/// A chunk of text without white space, and the face that it is or ends with.
pub(super) fn split(chunk: &str) -> (&str, Option<&'static str>) {
    for (written, face) in OTHERS {
        let held = written.chars().next_back().unwrap_or_default();
        let body = chunk.trim_end_matches(held);
        let whole = chunk.get(..body.len() + held.len_utf8());
        if let Some(before) = whole.and_then(|whole| whole.strip_suffix(written))
            && (before.is_empty() || !written.starts_with(char::is_alphabetic))
        {
            return (before, Some(face));
        }
    }
    match chunk.rfind([':', ';', '=']) {
        Some(at) => face(&chunk[at..]).map_or((chunk, None), |face| (&chunk[..at], Some(face))),
        None => (chunk, None),
    }
}

/// Eyes, perhaps a nose, one mouth, perhaps held.
fn face(text: &str) -> Option<&'static str> {
    let mouth = text.get(1..)?;
    let mouth = mouth.strip_prefix(['-', 'o', '^']).filter(|m| !m.is_empty()).unwrap_or(mouth);
    let first = mouth.chars().next()?;
    if !mouth.trim_start_matches(first).is_empty() {
        return None;
    }
    match first {
        ')' | ']' | '}' => Some(":)"),
        'D' => Some(":D"),
        '(' | '[' | '{' => Some(":("),
        '/' | '\\' | '|' => Some(":/"),
        'P' | 'p' => Some(":P"),
        '*' => Some(":*"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_are_found_alone_and_behind_a_word() {
        for (chunk, expected) in [
            (":)", ("", Some(":)"))),
            (":-)))", ("", Some(":)"))),
            ("great:D", ("great", Some(":D"))),
            (";)", ("", Some(":)"))),
            ("=(", ("", Some(":("))),
            (":'(((", ("", Some(":("))),
            ("<333", ("", Some("<3"))),
            ("you<3", ("you", Some("<3"))),
            ("</3", ("", Some("</3"))),
            ("xDDD", ("", Some(":D"))),
            ("10:30", ("10:30", None)),
            ("note:", ("note:", None)),
            ("maxD", ("maxD", None)),
            ("日本:)", ("日本", Some(":)"))),
            ("", ("", None)),
        ] {
            assert_eq!(split(chunk), expected, "{chunk}");
        }
    }
}
