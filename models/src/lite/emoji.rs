//! Emoji by their names: MiniLM's vocabulary holds words, and no emoji.

use unicode_segmentation::UnicodeSegmentation;

/// The text with each emoji's English name (CLDR's short one) in its place. One that stands there
/// again and again is named once; skin tones say nothing.
pub(super) fn named(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !is_skin_tone(*c)).collect();
    let mut out = String::with_capacity(plain.len());
    let mut last = None;
    for seen in plain.graphemes(true) {
        if let Some(emoji) = emojis::get(seen).filter(|_| !seen.is_ascii()) {
            if last != Some(emoji.name()) {
                out.push(' ');
                out.push_str(&spoken(emoji.name()));
                out.push(' ');
            }
            last = Some(emoji.name());
        } else {
            out.push_str(seen);
            if !seen.chars().all(|c| c.is_whitespace() || c == '\u{FE0F}') {
                last = None;
            }
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1F3FB}'..='\u{1F3FF}')
}

/// `flag: Spain` is Spain.
fn spoken(name: &str) -> String {
    name.strip_prefix("flag: ").unwrap_or(name).replace([':', ','], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_read_by_their_names() {
        for (text, read) in [
            ("no emoji: #1 * 2", "no emoji: #1 * 2"),
            ("so good😂😂 😂", "so good face with tears of joy"),
            ("😂 or 😂", "face with tears of joy or face with tears of joy"),
            ("👍🏽", "thumbs up"),
            ("❤️ and ❤", "red heart and red heart"),
            ("🇪🇸!", "Spain !"),
            ("👩‍🍳", "woman cook"),
            ("", ""),
        ] {
            assert_eq!(named(text), read, "{text}");
        }
    }
}
