//! Hashtags and mentions of a caption.

use std::collections::HashSet;

use super::clean;

/// Combining marks of the basic plane, as ranges merged over letters, digits and unassigned
/// code points. Variation selectors and keycap marks are left out: they belong to emoji.
#[rustfmt::skip]
const MARKS: &[(u32, u32)] = &[
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2),
    (0x05C4, 0x05C5), (0x05C7, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06DC), (0x06DF, 0x06E8), (0x06EA, 0x06ED), (0x0711, 0x07F3), (0x07FD, 0x07FD),
    (0x0816, 0x082D), (0x0859, 0x085B), (0x0898, 0x08E1), (0x08E3, 0x0963), (0x0981, 0x09E3),
    (0x09FE, 0x0A75), (0x0A81, 0x0AE3), (0x0AFA, 0x0B63), (0x0B82, 0x0BD7), (0x0C00, 0x0C63),
    (0x0C81, 0x0C83), (0x0CBC, 0x0D4D), (0x0D57, 0x0D63), (0x0D81, 0x0DF3), (0x0E31, 0x0E3A),
    (0x0E47, 0x0E4E), (0x0EB1, 0x0ECD), (0x0F18, 0x0F19), (0x0F35, 0x0F35), (0x0F37, 0x0F37),
    (0x0F39, 0x0F39), (0x0F3E, 0x0F84), (0x0F86, 0x0FBC), (0x0FC6, 0x0FC6), (0x102B, 0x103E),
    (0x1056, 0x109D), (0x135D, 0x135F), (0x1712, 0x1734), (0x1752, 0x17D3), (0x17DD, 0x17DD),
    (0x180B, 0x180D), (0x180F, 0x193B), (0x1A17, 0x1A1B), (0x1A55, 0x1A7F), (0x1AB0, 0x1B44),
    (0x1B6B, 0x1B73), (0x1B80, 0x1BF3), (0x1C24, 0x1C37), (0x1CD0, 0x1CD2), (0x1CD4, 0x1DFF),
    (0x2CEF, 0x2CF1), (0x2D7F, 0x2DFF), (0x302A, 0x302F), (0x3099, 0x309A), (0xA66F, 0xA672),
    (0xA674, 0xA67D), (0xA69E, 0xA6F1), (0xA802, 0xA827), (0xA82C, 0xA82C), (0xA880, 0xA8C5),
    (0xA8E0, 0xA8F1), (0xA8FF, 0xA92D), (0xA947, 0xA953), (0xA980, 0xA9C0), (0xA9E5, 0xAA4D),
    (0xAA7B, 0xAAC1), (0xAAEB, 0xAAEF), (0xAAF5, 0xAAF6), (0xABE3, 0xABEA), (0xABEC, 0xABED),
    (0xFB1E, 0xFB1E), (0xFE20, 0xFE2F),
];

/// Words after `#`, as written, distinct without regard to case, in order.
///
/// A word is letters, digits, marks and underscores of any script.
pub(crate) fn hashtags(caption: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (at, _) in caption.match_indices('#') {
        // `&#39;` is an escaped character, not a tag.
        if caption[..at].ends_with('&') {
            continue;
        }
        let rest = &caption[at + 1..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let tag = rest[..end].trim_end_matches(is_joiner);
        let starts_well = tag.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if starts_well && seen.insert(tag.to_lowercase()) {
            found.push(tag.to_owned());
        }
    }
    found
}

/// Handles after `@`, lower-cased, distinct, in order. The host of an e-mail address is none.
pub(crate) fn mentions(caption: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (at, _) in caption.match_indices('@') {
        if caption[..at].ends_with(is_handle_char) {
            continue;
        }
        let rest = &caption[at + 1..];
        let end = rest.find(|c| !is_handle_char(c)).unwrap_or(rest.len());
        let Some(name) = clean::handle(rest[..end].trim_end_matches('.')) else { continue };
        if seen.insert(name.clone()) {
            found.push(name);
        }
    }
    found
}

fn is_handle_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '_'
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_joiner(c) || is_mark(c)
}

/// Zero-width joiners hold Persian and Indic words together.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

fn is_mark(c: char) -> bool {
    let code = u32::from(c);
    let next = MARKS.partition_point(|(first, _)| *first <= code);
    next.checked_sub(1).and_then(|index| MARKS.get(index)).is_some_and(|(_, last)| code <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_of_many_scripts() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("no tags # here", &[]),
            ("#One #two_2 and #ONE again", &["One", "two_2"]),
            ("#a#b##c", &["a", "b", "c"]),
            ("(#brackets), #dot. #dash-ed", &["brackets", "dot", "dash"]),
            ("#हिन्दी #नमस्ते!", &["हिन्दी", "नमस्ते"]),
            ("#ภาษาไทย #ที่นี่", &["ภาษาไทย", "ที่นี่"]),
            ("#தமிழ் #বাংলা", &["தமிழ்", "বাংলা"]),
            ("#می\u{200C}خواهم #مُحَمَّد", &["می\u{200C}خواهم", "مُحَمَّد"]),
            ("#東京 #ソウル #서울 #Москва", &["東京", "ソウル", "서울", "Москва"]),
            ("#cafe\u{301} time", &["cafe\u{301}"]),
            ("#\u{FE0F}\u{20E3} #1\u{FE0F}\u{20E3}", &["1"]),
            ("#love\u{2764}\u{FE0F}you", &["love"]),
            ("it&#39;s", &[]),
            ("#\u{301}x", &[]),
        ];
        for (caption, expected) in cases {
            assert_eq!(hashtags(caption), *expected, "{caption}");
        }
    }

    #[test]
    fn mentions_are_handles() {
        let cases: &[(&str, &[&str])] = &[
            ("with @Ann and @ann.b. also @c_d...", &["ann", "ann.b", "c_d"]),
            ("write to me@site.test", &[]),
            ("@ alone, @. dot, @é", &[]),
            ("(@x)@y", &["x", "y"]),
            ("@x\n@X", &["x"]),
            ("@abcdefghijklmnopqrstuvwxyz01234", &[]),
        ];
        for (caption, expected) in cases {
            assert_eq!(mentions(caption), *expected, "{caption}");
        }
    }
}
