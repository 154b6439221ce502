//! The user object of the main target, `instagram_graphql_profile`.

use serde_json::{Map, Value, json};

use super::{
    character::Character,
    dice::Dice,
    persona::{PERSONAS, Persona},
    posts,
};

/// The whole user object of a handle. `base` is where the pictures are served.
pub fn user(handle: &str, base: &str) -> Value {
    let character = Character::of(handle);
    let mut user = Map::new();
    for part in [
        identity(&character, base),
        links(&character),
        business(&character),
        viewer(),
        switches(&character),
        timeline(&character, base),
        related(&character, base),
    ] {
        if let Value::Object(part) = part {
            user.extend(part);
        }
    }
    Value::Object(user)
}

/// The few fields by which other people's objects mention a user.
pub fn brief(character: &Character, base: &str) -> Value {
    json!({
        "id": character.id.to_string(),
        "username": character.handle,
        "full_name": character.full_name,
        "is_verified": character.verified,
        "is_private": character.private,
        "profile_pic_url": portrait(character, base, 150),
    })
}

/// The handles that a profile's answer calls similar: friends first, then the personas around.
pub fn similar(character: &Character) -> Vec<&'static str> {
    let mut dice = Dice::of(&["similar", &character.handle]);
    let around: Vec<&Persona> = PERSONAS.iter().collect();
    let strangers = (0..3).map(|_| dice.pick(&around).friends[0]).collect::<Vec<_>>();
    let mut handles: Vec<&'static str> = Vec::new();
    for handle in character.persona.friends.into_iter().chain(strangers) {
        if handle != character.handle && !handles.contains(&handle) {
            handles.push(handle);
        }
    }
    handles
}

/// Where the link in the biography leads.
pub fn website(character: &Character) -> String {
    format!("https://links.example/{}", character.handle)
}

fn portrait(character: &Character, base: &str, side: u16) -> String {
    format!("{base}/images/{}/{}-{side}x{side}.jpg", character.persona.name, character.handle)
}

fn identity(character: &Character, base: &str) -> Value {
    json!({
        "id": character.id.to_string(),
        "fbid": (17_841_400_000_000_000 + character.id % 99_999_999_999).to_string(),
        "eimu_id": (110_000_000_000_000 + character.id * 37 % 9_999_999_999_999).to_string(),
        "username": character.handle,
        "full_name": character.full_name,
        "biography": character.biography,
        "biography_with_entities": { "raw_text": character.biography, "entities": [] },
        "pronouns": [],
        "profile_pic_url": portrait(character, base, 150),
        "profile_pic_url_hd": portrait(character, base, 320),
        "is_verified": character.verified,
        "is_private": character.private,
        "edge_followed_by": { "count": character.followers },
        "edge_follow": { "count": character.following },
        "edge_mutual_followed_by": { "count": 0, "edges": [] },
        "highlight_reel_count": character.id % 14,
        "ai_agent_type": null,
    })
}

fn links(character: &Character) -> Value {
    let url = website(character);
    let shim = |url: &str| {
        let target = url.replace(':', "%3A").replace('/', "%2F");
        format!("https://l.instagram.com/?u={target}")
    };
    json!({
        "external_url": url,
        "external_url_linkshimmed": shim(&url),
        "bio_links": [
            { "title": "All my links", "url": url, "lynx_url": shim(&url),
              "link_type": "external" },
            { "title": "", "url": format!("{url}/news"),
              "lynx_url": shim(&format!("{url}/news")), "link_type": "external" },
        ],
        "fb_profile_biolink": null,
    })
}

fn business(character: &Character) -> Value {
    let mut dice = Dice::of(&["business", &character.handle]);
    // The vendor spells an absent category of a business account as the word "None".
    let category = match (character.business, dice.chance(15)) {
        (true, true) => json!("None"),
        (true, false) => json!(character.persona.business_category),
        (false, _) => Value::Null,
    };
    let city = dice.pick(&character.persona.places);
    // A string with JSON inside, as it arrives in recent answers.
    let address = (character.business && dice.chance(60)).then(|| {
        json!({ "city_name": city, "latitude": 0.0, "longitude": 0.0, "street_address": null })
            .to_string()
    });
    json!({
        "is_business_account": character.business,
        "is_professional_account": character.business || dice.chance(60),
        "business_address_json": address,
        "business_contact_method": "UNKNOWN",
        "business_email": null,
        "business_phone_number": null,
        "business_category_name": category,
        "overall_category_name": null,
        "category_enum": character.business.then_some(character.persona.category_enum),
        "category_name": character.persona.category,
        "connected_fb_page": null,
    })
}

/// How the anonymous viewer stands to the profile: not at all.
fn viewer() -> Value {
    json!({
        "blocked_by_viewer": false,
        "restricted_by_viewer": null,
        "country_block": false,
        "followed_by_viewer": false,
        "follows_viewer": false,
        "has_blocked_viewer": false,
        "has_requested_viewer": false,
        "requested_by_viewer": false,
        "group_metadata": null,
        "is_supervision_enabled": false,
        "is_guardian_of_viewer": false,
        "is_supervised_by_viewer": false,
        "is_supervised_user": false,
        "guardian_id": null,
    })
}

fn switches(character: &Character) -> Value {
    json!({
        "has_ar_effects": false,
        "has_clips": true,
        "has_guides": false,
        "has_channel": false,
        "has_onboarded_to_text_post_app": true,
        "hide_like_and_view_counts": false,
        "is_embeds_disabled": false,
        "is_joined_recently": false,
        "is_verified_by_mv4b": false,
        "is_regulated_c18": false,
        "pinned_channels_list_count": 0,
        "should_show_category": character.business,
        "should_show_public_contacts": character.business,
        "show_account_transparency_details": true,
        "show_text_post_app_badge": false,
        "remove_message_entrypoint": false,
        "transparency_label": null,
        "transparency_product": null,
    })
}

fn timeline(character: &Character, base: &str) -> Value {
    let edges = posts::edges(character, base);
    let more = !edges.is_empty() && character.posts_count > edges.len() as u64;
    let cursor = more
        .then(|| format!("{:032x}", u128::from(Dice::of(&["cursor", &character.handle]).bits())));
    let empty = json!({
        "count": 0, "page_info": { "has_next_page": false, "end_cursor": null }, "edges": [],
    });
    json!({
        "edge_owner_to_timeline_media": {
            "count": character.posts_count,
            "page_info": { "has_next_page": more, "end_cursor": cursor },
            "edges": edges,
        },
        "edge_felix_video_timeline": empty,
        "edge_saved_media": empty,
        "edge_media_collections": empty,
    })
}

fn related(character: &Character, base: &str) -> Value {
    let edges: Vec<Value> = similar(character)
        .into_iter()
        .map(|handle| json!({ "node": brief(&Character::of(handle), base) }))
        .collect();
    json!({ "edge_related_profiles": { "edges": edges } })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BASE: &str = "http://127.0.0.1:8100";

    fn nodes(user: &Value) -> Vec<&Value> {
        let edges = user["edge_owner_to_timeline_media"]["edges"].as_array().expect("edges");
        edges.iter().map(|edge| &edge["node"]).collect()
    }

    #[test]
    fn the_same_handle_is_the_same_bytes() {
        for handle in ["demo_travel", "demo_polyglot", "anyone.at_all"] {
            assert_eq!(user(handle, BASE).to_string(), user(handle, BASE).to_string());
        }
        assert_ne!(user("one", BASE)["id"], user("two", BASE)["id"]);
    }

    #[test]
    fn the_shape_is_the_vendors() {
        for handle in ["demo_travel", "demo_food", "demo_fitness", "some.body_7"] {
            let user = user(handle, BASE);
            assert_eq!(user["username"], handle);
            assert!(user["id"].as_str().is_some_and(|id| id.parse::<u64>().is_ok()));
            assert!(user["edge_followed_by"]["count"].is_u64());
            assert!(user["edge_follow"]["count"].is_u64());
            assert!(user["edge_related_profiles"]["edges"].as_array().is_some_and(|e| e.len() > 2));
            assert!(user["profile_pic_url_hd"].as_str().is_some_and(|url| url.starts_with(BASE)));
            let nodes = nodes(&user);
            assert_eq!(nodes.len(), 12);
            let kinds: HashSet<_> = nodes.iter().map(|n| n["__typename"].as_str()).collect();
            assert_eq!(kinds.len(), 3, "{handle} has every kind of post");
            for node in nodes {
                assert!(node["id"].as_str().is_some_and(|id| id.parse::<u64>().is_ok()));
                assert_eq!(node["shortcode"].as_str().map(str::len), Some(11));
                assert!(node["taken_at_timestamp"].is_u64());
                assert!(node["dimensions"]["width"].is_u64());
                assert_eq!(node["edge_liked_by"], node["edge_media_preview_like"]);
                let video = node["__typename"] == "GraphVideo";
                assert_eq!(node["is_video"], video);
                assert_eq!(node["video_view_count"].is_u64(), video);
                let album = node["__typename"] == "GraphSidecar";
                assert_eq!(node["edge_sidecar_to_children"]["edges"].is_array(), album);
            }
        }
    }

    #[test]
    fn ids_and_shortcodes_are_unique() {
        let mut seen = HashSet::new();
        for handle in ["demo_polyglot", "demo_travel", "demo_food", "x1", "x2", "x3"] {
            let user = user(handle, BASE);
            for node in nodes(&user) {
                let children = node["edge_sidecar_to_children"]["edges"].as_array();
                let children = children.into_iter().flatten().map(|edge| &edge["node"]);
                for media in children.chain([node]) {
                    assert!(seen.insert(media["id"].to_string()), "{handle}: {}", media["id"]);
                    assert!(seen.insert(media["shortcode"].to_string()));
                }
            }
        }
    }

    #[test]
    fn joint_posts_tags_and_places_occur() {
        for handle in ["demo_travel", "demo_food", "demo_fitness"] {
            let user = user(handle, BASE);
            let nodes = nodes(&user);
            let any = |pick: &dyn Fn(&Value) -> bool| nodes.iter().any(|node| pick(node));
            assert!(any(&|node| node["coauthor_producers"][0]["id"].is_string()), "{handle}");
            assert!(any(&|node| node["location"]["name"].is_string()), "{handle}");
            assert!(
                any(&|n| n["edge_media_to_tagged_user"]["edges"][0]["node"]["x"].is_f64()),
                "{handle}"
            );
        }
    }

    #[test]
    fn numbers_are_plausible() {
        for number in 0..200 {
            let user = user(&format!("plain_{number}"), BASE);
            let followers = user["edge_followed_by"]["count"].as_u64().expect("a number");
            for node in nodes(&user) {
                let likes = node["edge_liked_by"]["count"].as_u64().expect("a number");
                let comments = node["edge_media_to_comment"]["count"].as_u64().expect("a number");
                assert!(likes < followers / 3, "{likes} likes of {followers} followers");
                assert!(comments <= likes / 10 + 5, "{comments} comments, {likes} likes");
            }
        }
    }

    #[test]
    fn one_post_of_the_cook_has_expired_pictures() {
        let user = user("demo_food", BASE);
        let expired: Vec<usize> = nodes(&user)
            .iter()
            .enumerate()
            .filter(|(_, node)| node["display_url"].to_string().contains("/expired/"))
            .map(|(place, _)| place)
            .collect();
        assert_eq!(expired, [2]);
    }
}
