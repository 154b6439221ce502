//! Captions by language and persona: one text file each, one caption a line. `\n` in a line is a
//! line break; a line that is only `-` is a post without a caption.

/// A caption, or none at all.
pub type Caption = Option<String>;

/// One file of captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelf {
    /// The language, as a two-letter code.
    pub language: &'static str,
    text: &'static str,
}

impl Shelf {
    /// A shelf of English captions (the personas keep one each).
    pub const fn english(text: &'static str) -> Self {
        Self { language: "en", text }
    }

    /// Every caption on the shelf, in the order of the file.
    pub fn captions(&self) -> Vec<Caption> {
        self.text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| (line != "-").then(|| line.replace("\\n", "\n")))
            .collect()
    }
}

/// The languages other than English.
pub const LANGUAGES: [Shelf; 13] = [
    Shelf { language: "es", text: include_str!("captions/es.txt") },
    Shelf { language: "pt", text: include_str!("captions/pt.txt") },
    Shelf { language: "fr", text: include_str!("captions/fr.txt") },
    Shelf { language: "de", text: include_str!("captions/de.txt") },
    Shelf { language: "it", text: include_str!("captions/it.txt") },
    Shelf { language: "ar", text: include_str!("captions/ar.txt") },
    Shelf { language: "tr", text: include_str!("captions/tr.txt") },
    Shelf { language: "ru", text: include_str!("captions/ru.txt") },
    Shelf { language: "hi", text: include_str!("captions/hi.txt") },
    Shelf { language: "ja", text: include_str!("captions/ja.txt") },
    Shelf { language: "ko", text: include_str!("captions/ko.txt") },
    Shelf { language: "id", text: include_str!("captions/id.txt") },
    Shelf { language: "zh", text: include_str!("captions/zh.txt") },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::demo::persona::PERSONAS;

    #[test]
    fn the_shelves_are_full() {
        let english: usize = PERSONAS.iter().map(|persona| persona.captions.captions().len()).sum();
        assert!(english >= 150, "{english} English captions");
        let mut all = english;
        for shelf in LANGUAGES {
            let count = shelf.captions().len();
            assert!(count >= 15, "{count} captions in {}", shelf.language);
            all += count;
        }
        assert!(all >= 360, "{all} captions");
    }

    #[test]
    fn no_caption_is_there_twice_or_too_long() {
        let shelves = LANGUAGES.iter().copied().chain(PERSONAS.iter().map(|p| p.captions));
        let mut seen = HashSet::new();
        for caption in shelves.flat_map(|shelf| shelf.captions()).flatten() {
            assert!(caption.chars().count() <= 2200, "{caption}");
            assert!(!caption.contains("\\n"), "{caption}");
            assert!(seen.insert(caption.clone()), "twice: {caption}");
        }
    }

    #[test]
    fn mentions_are_demo_handles() {
        let shelves = LANGUAGES.iter().copied().chain(PERSONAS.iter().map(|p| p.captions));
        for caption in shelves.flat_map(|shelf| shelf.captions()).flatten() {
            for mention in caption.split('@').skip(1) {
                assert!(mention.starts_with("demo_"), "{caption}");
            }
        }
    }
}
