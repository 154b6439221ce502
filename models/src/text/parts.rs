//! Hashtags, mentions, and what is between them.

use unicode_normalization::char::is_combining_mark;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Neither of the others.
    Plain(&'a str),
    /// Without `#`.
    Tag(&'a str),
    /// Without `@`.
    Mention(&'a str),
}

/// The pieces of a text, in order. A `#` or `@` that begins nothing stays in what is plain.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut plain = 0; // where the pending plain piece begins
    let mut from = 0;
    while let Some(at) = text[from..].find(['#', '＃', '@']).map(|at| from + at) {
        let sign = text[at..].chars().next().map_or(1, char::len_utf8);
        let rest = &text[at + sign..];
        let before = &text[plain..at];
        let part = if text[at..].starts_with('@') {
            mention(before, rest).map(Part::Mention)
        } else {
            tag(before, rest).map(Part::Tag)
        };
        from = at + sign;
        if let Some(part) = part {
            if !before.is_empty() {
                found.push(Part::Plain(before));
            }
            if let Part::Tag(word) | Part::Mention(word) = part {
                from += word.len();
            }
            plain = from;
            found.push(part);
        }
    }
    if plain < text.len() {
        found.push(Part::Plain(&text[plain..]));
    }
    found
}

/// Letters, digits, marks and underscores of any script. `&#39;` is an escaped character, no tag.
fn tag<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let word = rest[..end].trim_end_matches(is_joiner);
    let starts_well = word.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (starts_well && !before.ends_with('&')).then_some(word)
}

/// A handle. The host of an e-mail address is none.
fn mention<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    let end = rest.find(|c| !is_handle(c)).unwrap_or(rest.len());
    let handle = rest[..end].trim_end_matches('.');
    (!handle.is_empty() && !before.ends_with(is_handle)).then_some(handle)
}

fn is_handle(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '_'
}

/// Variation selectors and keycaps are marks too, but belong to emoji.
fn is_word(c: char) -> bool {
    let of_emoji = matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{20E3}');
    c.is_alphanumeric() || c == '_' || is_joiner(c) || (is_combining_mark(c) && !of_emoji)
}

/// Zero-width joiners hold Persian and Indic words together.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_falls_into_tags_mentions_and_the_rest() {
        use Part::{Mention, Plain, Tag};
        let cases: &[(&str, &[Part<'_>])] = &[
            ("", &[]),
            ("plain # @ text", &[Plain("plain # @ text")]),
            (
                "with @ann.b. #One#two_2!",
                &[
                    Plain("with "),
                    Mention("ann.b"),
                    Plain(". "),
                    Tag("One"),
                    Tag("two_2"),
                    Plain("!"),
                ],
            ),
            ("it&#39;s me@site", &[Plain("it&#39;s me@site")]),
            ("＃東京 #می\u{200C}خواهم", &[Tag("東京"), Plain(" "), Tag("می\u{200C}خواهم")]),
            ("#1\u{FE0F}\u{20E3}", &[Tag("1"), Plain("\u{FE0F}\u{20E3}")]),
            ("#हिन्दी#", &[Tag("हिन्दी"), Plain("#")]),
        ];
        for (text, expected) in cases {
            assert_eq!(parts(text), *expected, "{text}");
        }
    }
}
