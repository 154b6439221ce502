//! One form for all spellings of a word.

use unicode_normalization::UnicodeNormalization;

/// Lower case, without accents, points and vowel signs that people leave out, in plain letters
/// whatever the font (`𝓕𝓸𝓸𝓭`). Both the lists and the captions pass here, so that they meet.
///
/// Marks that make another letter in their script (Devanagari, Thai, kana) stay.
pub(super) fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(word.len());
    for c in word.nfkd().flat_map(char::to_lowercase).filter(|c| !is_optional(*c)) {
        match c {
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'ø' => out.push('o'),
            'đ' | 'ð' => out.push('d'),
            'ł' => out.push('l'),
            'ı' => out.push('i'),
            'ς' => out.push('σ'),
            '’' | '‘' | 'ʼ' => out.push('\''),
            // Arabic, Persian and Urdu keyboards write the same letter differently.
            'ى' | 'ی' | 'ے' => out.push('ي'),
            'ة' | 'ہ' | 'ھ' | 'ە' => out.push('ه'),
            'ک' => out.push('ك'),
            c => out.push(c),
        }
    }
    let composed: String = out.nfc().collect();
    without_article(&composed).to_owned()
}

/// Accents of Latin, Greek and Cyrillic; Hebrew points; Arabic vowels, hamzas and stretching; the
/// Devanagari nukta; joiners.
fn is_optional(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{0591}'..='\u{05C7}' | '\u{0610}'..='\u{061A}'
        | '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{06D6}'..='\u{06ED}'
        | '\u{093C}' | '\u{200C}' | '\u{200D}')
}

/// An Arabic word without its article, and without what is written together with the article.
fn without_article(word: &str) -> &str {
    let rest = ["وال", "بال", "كال", "فال", "لل", "ال"]
        .iter()
        .find_map(|article| word.strip_prefix(article));
    rest.filter(|rest| rest.chars().nth(2).is_some()).unwrap_or(word)
}

/// An Arabic word without the conjunction or preposition of one letter before it.
pub(super) fn without_particle(word: &str) -> Option<&str> {
    let rest =
        ['و', 'ف', 'ب', 'ل', 'ك'].iter().find_map(|particle| word.strip_prefix(*particle))?;
    rest.chars().nth(2).is_some().then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_word_meet() {
        for (one, other) in [
            ("FOOD", "food"),
            ("𝓕𝓸𝓸𝓭", "food"),
            ("Ｆｏｏｄ", "food"),
            ("Canción", "cancion"),
            ("Straße", "strasse"),
            ("IŞIK", "ışık"),
            ("İstanbul", "istanbul"),
            ("Đà", "da"),
            ("Łódź", "lodz"),
            ("ΜΟΥΣΙΚΉΣ", "μουσικης"),
            ("ещё", "еще"),
            ("السَّفَر", "سفر"),
            ("والسفر", "سفر"),
            ("رحلـــة", "رحله"),
            ("أكل", "اكل"),
            ("زندگی", "زندگي"),
            ("ﾗｰﾒﾝ", "ラーメン"),
            ("ガ", "カ\u{3099}"),
            ("한국", "한국"),
            ("don’t", "don't"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("हिन्दी"), fold("हनद"));
        assert_ne!(fold("が"), fold("か"));
        assert_eq!(fold("الله"), "الله");
        assert_eq!(without_particle("وسفر"), Some("سفر"));
        assert_eq!(without_particle("ولد"), None);
    }
}
