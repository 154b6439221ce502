//! The other target, `instagram_profile`: another shape, counts written out as text.

use serde_json::{Value, json};

use super::{
    character::Character,
    profile::{similar, website},
};

/// The vendor's object for a handle, as it stands in `results[0].content`.
pub fn content(handle: &str, base: &str, task_id: &str) -> Value {
    let character = Character::of(handle);
    let user = super::profile::user(handle, base);
    let edges = user["edge_owner_to_timeline_media"]["edges"].as_array();
    let posts: Vec<Value> = edges
        .into_iter()
        .flatten()
        .map(|edge| {
            let node = &edge["node"];
            let code = node["shortcode"].as_str().unwrap_or_default();
            let caption = &node["edge_media_to_caption"]["edges"][0]["node"]["text"];
            json!({
                "href": format!("https://www.instagram.com/p/{code}/"),
                "description": caption.as_str().unwrap_or_default(),
                "image": node["display_url"],
            })
        })
        .collect();
    let accounts: Vec<Value> = similar(&character)
        .into_iter()
        .map(|handle| {
            let other = Character::of(handle);
            json!({ "username": handle, "name": other.full_name, "verified": other.verified })
        })
        .collect();
    json!({
        "data": {
            "content": {
                "account": { "username": handle, "verified": character.verified },
                "stats": {
                    "posts": with_commas(character.posts_count),
                    "followers": rounded(character.followers),
                    "following": with_commas(character.following),
                },
                "biography": {
                    "name": character.full_name,
                    "occupation": character.persona.occupation,
                    "description": character.biography,
                    "url": website(&character).trim_start_matches("https://"),
                },
                "posts": posts,
                "relatedAccounts": accounts,
            },
            "errors": [],
            "status_code": 12000,
        },
        "task_id": task_id,
        "url": format!("https://www.instagram.com/{handle}"),
    })
}

/// What the vendor answers when nobody has the name.
pub fn not_found(handle: &str, task_id: &str) -> Value {
    json!({
        "data": {
            "content": null,
            "errors": [{ "message": "The target has no such page." }],
            "status_code": 12009,
        },
        "task_id": task_id,
        "url": format!("https://www.instagram.com/{handle}"),
    })
}

/// `1234567` as `1,234,567`.
fn with_commas(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Large counts as the page abbreviates them: `9,410`, `12.4K`, `184K`, `2.1M`.
fn rounded(count: u64) -> String {
    let tenths =
        |unit: u64, letter: char| match (count / (unit / 10) / 10, count / (unit / 10) % 10) {
            (whole, 0) => format!("{whole}{letter}"),
            (whole, tenth) => format!("{whole}.{tenth}{letter}"),
        };
    match count {
        0..10_000 => with_commas(count),
        10_000..100_000 => tenths(1_000, 'K'),
        100_000..1_000_000 => format!("{}K", count / 1000),
        _ => tenths(1_000_000, 'M'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_out() {
        assert_eq!(with_commas(7), "7");
        assert_eq!(with_commas(1_108), "1,108");
        assert_eq!(with_commas(1_234_567), "1,234,567");
        assert_eq!(rounded(9_410), "9,410");
        assert_eq!(rounded(12_440), "12.4K");
        assert_eq!(rounded(50_020), "50K");
        assert_eq!(rounded(184_320), "184K");
        assert_eq!(rounded(2_160_000), "2.1M");
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let content = content("demo_travel", "http://127.0.0.1:1", "1");
        let inner = &content["data"]["content"];
        assert_eq!(content["data"]["status_code"], 12000);
        assert_eq!(inner["account"]["username"], "demo_travel");
        assert_eq!(inner["stats"]["followers"], "184K");
        assert_eq!(inner["posts"].as_array().map(Vec::len), Some(12));
        assert!(inner["relatedAccounts"][0]["username"].is_string());
        assert!(content["data"]["user"].is_null());
    }
}
