use proptest::prelude::*;
use unicode_normalization::is_nfc;

use super::*;

fn prepared(caption: &str, hashtags: &[&str]) -> Prepared {
    Prepared::of(caption, &hashtags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
}

#[test]
fn a_caption_is_cleaned() {
    let cases: &[(&str, &str)] = &[
        ("", ""),
        (" \n\t\u{3000} ", ""),
        ("one\r\n\r\n  two\tthree", "one two three"),
        ("all at https://a.test/x?y=1 now", "all at now"),
        ("a\u{0}b\u{7}c\u{202E}d\u{2066}e\u{200B}f\u{FEFF}g", "abcdefg"),
        ("cafe\u{301}", "caf\u{e9}"),
        ("می\u{200C}خواهم 👩\u{200D}🍳", "می\u{200C}خواهم 👩\u{200D}🍳"),
        ("\u{E0061}\u{E0062}", ""),
    ];
    for (caption, expected) in cases {
        assert_eq!(prepared(caption, &[]).text, *expected, "{caption:?}");
    }
}

#[test]
fn special_tokens_go_however_they_are_hidden() {
    for caption in [
        "a <s>b</s> <pad><mask><unk> c",
        "a [CLS]b[SEP] [PAD][MASK][UNK] c",
        "a <s<s>>b</</s>s> <pa<mask>d>c",
        "a <[PAD]s>b[C<s>LS] c",
        "a <\u{200B}s\u{202E}>b [MAS\u{212A}] c",
        "a ＜s＞b ［CLS］ c",
        "a <𝐬>b c",
    ] {
        assert_eq!(prepared(caption, &[]).text.replace(' ', ""), "abc", "{caption:?}");
    }
    assert_eq!(prepared("1 < 2 > 0 [sic] <3", &[]).text, "1 < 2 > 0 [sic] <3");
}

#[test]
fn hashtags_are_added_once() {
    let found = prepared("Lunch #Food", &["food", "#Vegan", "vegan", "", " # "]);
    assert_eq!(found.text, "Lunch #Food #Vegan");
    assert_eq!(found.hashtags, ["food", "vegan"]);
    assert_eq!(prepared("", &["東京"]).text, "#東京");
}

#[test]
fn a_long_caption_is_cut_between_what_is_seen_as_characters() {
    let family = "👩\u{200D}👩\u{200D}👧";
    let long = family.repeat(LIMIT);
    let text = prepared(&long, &[]).text;
    assert_eq!(text.chars().count(), LIMIT);
    assert!(text.ends_with(family));

    let odd = prepared(&format!("x{long}"), &[]).text;
    assert_eq!(odd.chars().count(), LIMIT - 4);
    assert!(odd.ends_with(family));

    let pile = format!("e{}", "\u{301}".repeat(3 * LIMIT));
    assert!(prepared(&pile, &[]).text.chars().count() <= LIMIT);
    assert!(prepared(&"a ".repeat(1_000_000), &[]).text.len() <= LIMIT);
    let tags = vec!["t".repeat(1_000_000); 1000];
    assert!(Prepared::of("", &tags).text.len() <= LIMIT);
}

#[test]
fn tweets_name_no_users_and_no_links() {
    for (text, expected) in [
        ("hi @ann.b, see https://a.test/x #One", "hi @user, see http #One"),
        ("me@x @ #", "me@x @ #"),
        ("", ""),
    ] {
        assert_eq!(for_tweets(text), expected);
    }
}

#[test]
fn the_same_text_has_the_same_hash() {
    let one = prepared("a  b", &["c"]);
    assert_eq!(one.content_hash(), prepared("a b #c", &[]).content_hash());
    assert_ne!(one.content_hash(), prepared("a b", &[]).content_hash());
    assert_eq!(
        prepared("", &[]).content_hash(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

/// Arbitrary text, with what is dangerous in it more often than by chance.
fn caption() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[ a-z.@#/:<>s\\[\\]]{0,6}",
        prop::sample::select(SPECIAL.to_vec()).prop_map(str::to_owned),
        prop::sample::select(vec!["https://a.test", "\u{202E}", "\u{301}", "\u{200D}", "👩", "＜"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn prepared_text_is_clean_whatever_it_was(caption in caption(), tag in caption()) {
        let found = Prepared::of(&caption, &[tag]);
        prop_assert!(is_nfc(&found.text));
        prop_assert!(!found.text.contains(is_hidden));
        prop_assert!(!found.text.contains("  ") && found.text.trim() == found.text);
        prop_assert!(SPECIAL.iter().all(|token| !found.text.contains(token)));
        prop_assert_eq!(Prepared::of(&found.text, &[]), found);
    }
}
