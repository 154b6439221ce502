//! What a hashtag is made of: `#StreetFood`, `#street_food`, `#streetfood2024`.

/// The words of a hashtag where it shows them: by underscores, by capitals, by digits.
pub(super) fn apart(tag: &str) -> String {
    let mut out = String::with_capacity(tag.len() + 4);
    let mut before: Option<char> = None;
    for c in tag.chars() {
        let joint = before.is_some_and(|before| {
            (before.is_lowercase() && c.is_uppercase()) || before.is_numeric() != c.is_numeric()
        });
        if c == '_' {
            out.push(' ');
        } else {
            if joint && before != Some('_') {
                out.push(' ');
            }
            out.push(c);
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashtag_shows_its_words() {
        for (tag, expected) in [
            ("StreetFood", "Street Food"),
            ("street_food", "street food"),
            ("streetfood2024", "streetfood 2024"),
            ("OOTD", "OOTD"),
            ("السفر_حياة", "السفر حياة"),
            ("東京", "東京"),
            ("", ""),
        ] {
            assert_eq!(apart(tag), expected);
        }
    }
}
