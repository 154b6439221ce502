//! The word lists, files of `models/data`, and who they are.

use sha2::{Digest, Sha256};

use crate::analysis::ModelId;
use crate::text::hex;

macro_rules! lists {
    ($name:ident, $folder:literal, [$($language:literal),+ $(,)?]) => {
        pub(super) const $name: &[(&str, &str)] = &[$((
            $language,
            include_str!(concat!("../../data/", $folder, "/", $language, ".tsv")),
        )),+];
    };
}

// English first: of what lists say of a word whatever the language, the first is kept.
lists!(
    CATEGORY,
    "category",
    [
        "en", "emoji", "ar", "bg", "cs", "de", "el", "es", "fa", "fr", "hi", "id", "it", "ja",
        "ko", "nl", "pl", "pt", "ro", "ru", "sv", "sw", "th", "tr", "uk", "ur", "vi", "zh",
    ]
);
lists!(
    SENTIMENT,
    "sentiment",
    [
        "en", "emoji", "ar", "bg", "cs", "de", "el", "es", "fa", "fr", "hi", "id", "it", "ja",
        "ko", "nl", "pl", "pt", "ro", "ru", "sv", "sw", "th", "tr", "uk", "ur", "vi", "zh",
    ]
);

/// The name of the rules, and the hash of all lists in their order.
pub(super) fn id() -> ModelId {
    let mut hash = Sha256::new();
    for (language, list) in CATEGORY.iter().chain(SENTIMENT) {
        hash.update(language);
        hash.update([0]);
        hash.update(list);
        hash.update([0]);
    }
    ModelId { name: "rules".to_owned(), hash: hex(&hash.finalize()) }
}
