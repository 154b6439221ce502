//! The flat shape of the last-resort target, mapped to [`FetchedProfile`]. Pure functions.
//!
//! It has no ids and rounded counts, so its profiles are always partial.

use std::collections::HashSet;

use serde_json::Value;
use url::Url;

use super::clean::{TEXT_CHARS, display, flag, handle, is_code, label, remove_nul, web_url};
use super::mapping::{MAX_POSTS, MAX_RELATED, similarity};
use super::{FetchedPost, FetchedProfile, FetchedRelated, caption};

/// True when `content` holds an account or its counts.
pub fn is_basic(content: &Value) -> bool {
    ["account", "stats"]
        .iter()
        .any(|key| content.get(key).and_then(Value::as_object).is_some_and(|map| !map.is_empty()))
}

/// Maps the flat shape; `queried` stands in for an absent username.
pub fn profile(mut content: Value, queried: &str) -> FetchedProfile {
    remove_nul(&mut content);
    let username = content.pointer("/account/username").and_then(Value::as_str).and_then(handle);
    let username = username.unwrap_or_else(|| queried.to_lowercase());
    FetchedProfile {
        instagram_user_id: None,
        full_name: display(content.pointer("/biography/name"), 500),
        biography: display(content.pointer("/biography/description"), TEXT_CHARS),
        external_url: web_url(content.pointer("/biography/url")),
        profile_pic_url: None,
        profile_pic_url_hd: None,
        followers_count: printed_count(content.pointer("/stats/followers")),
        following_count: printed_count(content.pointer("/stats/following")),
        posts_count: printed_count(content.pointer("/stats/posts")),
        is_verified: flag(content.pointer("/account/verified")),
        is_private: None,
        is_business_account: None,
        is_professional_account: None,
        instagram_business_category: None,
        category: label(content.pointer("/biography/occupation"), 255),
        partial: true,
        posts: posts(&content),
        related: related(&content, &username),
        username,
        raw: content,
    }
}

fn list<'a>(content: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    content.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn posts(content: &Value) -> Vec<FetchedPost> {
    let mut seen = HashSet::new();
    list(content, "posts")
        .filter_map(|post| {
            let shortcode = shortcode(post.get("href")?.as_str()?)?;
            if !seen.insert(shortcode.clone()) {
                return None;
            }
            let text = display(post.get("description"), TEXT_CHARS);
            let image = web_url(post.get("image"));
            Some(FetchedPost {
                shortcode,
                hashtags: text.as_deref().map(caption::hashtags).unwrap_or_default(),
                mentions: text.as_deref().map(caption::mentions).unwrap_or_default(),
                caption: text,
                post_images: image.iter().cloned().collect(),
                display_url: image,
                raw: post.clone(),
                ..FetchedPost::default()
            })
        })
        .take(MAX_POSTS)
        .collect()
}

fn related(content: &Value, own: &str) -> Vec<FetchedRelated> {
    let mut seen = HashSet::from([own.to_owned()]);
    list(content, "relatedAccounts")
        .enumerate()
        .filter_map(|(index, account)| {
            let username = account.get("username").and_then(Value::as_str).and_then(handle)?;
            seen.insert(username.clone()).then(|| FetchedRelated {
                username,
                full_name: display(account.get("name"), 500),
                is_verified: flag(account.get("verified")),
                is_private: None,
                profile_pic_url: None,
                similarity_score: similarity(index),
            })
        })
        .take(MAX_RELATED)
        .collect()
}

/// The code in `/p/CODE/`, `/reel/CODE/` or `/tv/CODE/`, absolute or not.
fn shortcode(href: &str) -> Option<String> {
    let path = Url::parse(href).map_or_else(|_| href.to_owned(), |url| url.path().to_owned());
    let mut parts = path.split(['?', '#']).next()?.split('/').filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        if matches!(part, "p" | "reel" | "reels" | "tv") {
            return parts.next().filter(|code| is_code(code)).map(str::to_owned);
        }
    }
    None
}

/// A count as printed for people: `"56,793"`, `"76.5M"`, `"1,2K"` is refused as ambiguous.
fn printed_count(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => parse_printed(text),
        number => super::clean::count(Some(number)),
    }
}

fn parse_printed(text: &str) -> Option<i64> {
    let text = text.trim();
    let (digits, unit) = match text.chars().last()?.to_ascii_lowercase() {
        'k' => (&text[..text.len() - 1], 1_000_i64),
        'm' => (&text[..text.len() - 1], 1_000_000),
        'b' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let (whole, fraction) = digits.trim_end().split_once('.').unwrap_or((digits.trim_end(), ""));
    let has_point = digits.contains('.');
    // Without a unit a point may separate thousands or decimals: not to be guessed.
    if has_point && (unit == 1 || fraction.is_empty() || fraction.len() > 9) {
        return None;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = ungrouped(whole)?.parse().ok()?;
    let scale = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = i64::try_from(i128::from(fraction) * i128::from(unit) / i128::from(scale)).ok()?;
    whole.checked_mul(unit)?.checked_add(part)
}

/// Digits without their commas; `None` unless the commas separate thousands.
fn ungrouped(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let head = groups.next()?;
    let tail: Vec<&str> = groups.collect();
    let all_digits = text.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let head_fits = !head.is_empty() && (tail.is_empty() || head.len() <= 3);
    let grouped = tail.iter().all(|group| group.len() == 3);
    (all_digits && head_fits && grouped).then(|| text.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn printed_counts() {
        for (text, expected) in [
            ("0", Some(0)),
            ("56,793", Some(56_793)),
            ("1,234,567", Some(1_234_567)),
            ("76.5M", Some(76_500_000)),
            ("76.55m", Some(76_550_000)),
            ("3B", Some(3_000_000_000)),
            ("1.2 K", Some(1_200)),
            ("1,234.5K", Some(1_234_500)),
            ("1.23456K", Some(1_234)),
            (" 12 ", Some(12)),
            ("1,2K", None),
            ("12,34", None),
            (",123", None),
            ("1.234", None),
            ("1.K", None),
            ("-5", None),
            ("", None),
            ("K", None),
            ("many", None),
            ("999999999999B", None),
            ("1.2.3K", None),
            ("٣", None),
        ] {
            assert_eq!(parse_printed(text), expected, "{text}");
        }
        assert_eq!(printed_count(Some(&json!(7))), Some(7));
        assert_eq!(printed_count(Some(&json!(null))), None);
    }

    #[test]
    fn shortcodes_from_addresses() {
        for (href, expected) in [
            ("https://www.instagram.com/p/AbC-1_/", Some("AbC-1_")),
            ("https://www.instagram.com/someone/reel/XyZ/?a=b", Some("XyZ")),
            ("/p/Rel/", Some("Rel")),
            ("/tv/T1?x=1", Some("T1")),
            ("https://www.instagram.com/someone/", None),
            ("https://www.instagram.com/p/", None),
            ("/p/a%20b/", None),
            ("", None),
        ] {
            assert_eq!(shortcode(href).as_deref(), expected, "{href}");
        }
    }

    #[test]
    fn the_flat_shape_is_partial_and_invents_nothing() {
        let mapped = profile(
            json!({
                "account": {"username": "Tiny_Shop", "verified": false},
                "stats": {"posts": "1,002", "followers": "4.5K", "following": "none"},
                "biography": {"name": "Tiny", "occupation": "Shop", "description": "We #sell",
                              "url": "tiny.test/x"},
                "posts": [
                    {"href": "/p/A1/", "description": "Hi #Tea @Pal", "image": "https://i.test/1"},
                    {"href": "/p/A1/", "description": "again"},
                    {"href": "/explore/", "description": "no code"},
                ],
                "relatedAccounts": [
                    {"username": "tiny_shop"}, {"username": "Pal", "name": "P", "verified": true}
                ],
            }),
            "asked",
        );
        assert!(mapped.partial);
        assert_eq!(mapped.username, "tiny_shop");
        assert_eq!(mapped.followers_count, Some(4_500));
        assert_eq!(mapped.posts_count, Some(1_002));
        assert_eq!(mapped.following_count, None);
        assert_eq!(mapped.external_url, None, "an address without a scheme is not guessed");
        assert_eq!(mapped.is_private, None);
        assert_eq!(mapped.posts.len(), 1);
        assert_eq!(mapped.posts[0].hashtags, ["Tea"]);
        assert_eq!(mapped.posts[0].mentions, ["pal"]);
        assert_eq!(mapped.posts[0].likes_count, None);
        assert_eq!(mapped.related.len(), 1);
        assert!((mapped.related[0].similarity_score - 95.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_absent_account_keeps_the_queried_handle() {
        assert!(is_basic(&json!({"stats": {"followers": "1"}})));
        assert!(!is_basic(&json!({"account": {}, "stats": null})));
        assert_eq!(profile(json!({"stats": {"followers": "1"}}), "Asked").username, "asked");
    }
}
