//! Post nodes of the main target, as the vendor passes them on.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::{captions::Caption, character::Character, dice::Dice, profile::brief};

/// The handle one of whose posts has pictures that are no longer served.
const EXPIRED_HANDLE: &str = "demo_food";

/// The place of that post on the page.
const EXPIRED_PLACE: usize = 2;

/// The first segment of those pictures' paths.
pub const EXPIRED_KIND: &str = "expired";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    Image,
    Album,
    Video,
}

/// What most grids look like; each profile starts somewhere else in the row.
const GRID: [Medium; 8] = [
    Medium::Image,
    Medium::Album,
    Medium::Image,
    Medium::Video,
    Medium::Image,
    Medium::Album,
    Medium::Video,
    Medium::Image,
];

/// One post on its way to become JSON.
struct Post<'a> {
    author: &'a Character,
    base: &'a str,
    place: usize,
    taken_at: u64,
    id: u64,
    medium: Medium,
    dice: Dice,
}

/// Every shown post of a profile, newest first, as `{"node": …}` edges. `base` is where the
/// pictures are served.
pub fn edges(author: &Character, base: &str) -> Vec<Value> {
    let start = Dice::of(&["grid", &author.handle]).below(GRID.len() as u64) as usize;
    let captions = author.captions();
    author
        .moments()
        .into_iter()
        .zip(captions)
        .enumerate()
        .map(|(place, (taken_at, (_, caption)))| {
            let mut dice = Dice::of(&["post", &author.handle, &place.to_string()]);
            let id = media_id(taken_at, dice.bits());
            let medium = GRID[(start + place) % GRID.len()];
            let post = Post { author, base, place, taken_at, id, medium, dice };
            json!({ "node": post.node(caption) })
        })
        .collect()
}

/// Instagram's own recipe: milliseconds since its epoch, then 23 bits that tell posts of the same
/// millisecond apart. It keeps ids unique and sorted by time.
fn media_id(taken_at: u64, noise: u64) -> u64 {
    ((taken_at * 1000 - 1_314_220_021_721) << 23) | (noise & 0x007f_ffff)
}

/// The id in the 64 letters of a post's address.
pub fn shortcode(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..11)
        .rev()
        .map(|place| char::from(LETTERS[((id >> (place * 6)) & 63) as usize]))
        .collect::<String>()
        .trim_start_matches('A')
        .to_owned()
}

impl Post<'_> {
    fn node(mut self, caption: Caption) -> Value {
        let mut node = self.looks(self.id, self.medium);
        let mut add = |part: Value| {
            if let Value::Object(part) = part {
                node.extend(part);
            }
        };
        let coauthor = self.coauthor();
        add(self.numbers());
        add(self.people(coauthor));
        add(self.surroundings());
        if self.medium == Medium::Album {
            add(self.children());
        }
        let captions: Vec<Value> =
            caption.map(|text| json!({ "node": { "text": text } })).into_iter().collect();
        add(json!({
            "edge_media_to_caption": { "edges": captions },
            "taken_at_timestamp": self.taken_at,
        }));
        Value::Object(node)
    }

    /// The fields that a post and the children of an album have in common.
    fn looks(&self, id: u64, medium: Medium) -> Map<String, Value> {
        let code = shortcode(id);
        let (width, height, shown) = match medium {
            Medium::Video => (1080, 1920, "540x960"),
            Medium::Album => (1080, 1080, "640x640"),
            Medium::Image => (1080, 1350, "640x800"),
        };
        let picture = |size: &str| self.picture(&code, size);
        let thumbnails: Vec<Value> = [150, 240, 320, 480, 640]
            .map(|side| {
                json!({
                    "src": picture(&format!("{side}x{side}")),
                    "config_width": side,
                    "config_height": side,
                })
            })
            .into();
        let fields = json!({
            "__typename": match medium {
                Medium::Image => "GraphImage",
                Medium::Album => "GraphSidecar",
                Medium::Video => "GraphVideo",
            },
            "id": id.to_string(),
            "shortcode": code,
            "dimensions": { "width": width, "height": height },
            "display_url": picture(shown),
            "thumbnail_src": picture("640x640"),
            "thumbnail_tall_src": picture("360x640"),
            "thumbnail_resources": thumbnails,
            "is_video": medium == Medium::Video,
            "accessibility_caption": self.description(id, medium),
            "media_preview": null,
            "fact_check_overall_rating": null,
            "fact_check_information": null,
            "gating_info": null,
            "sharing_friction_info": {
                "should_have_sharing_friction": false,
                "bloks_app_url": null,
            },
            "media_overlay_info": null,
        });
        if let Value::Object(fields) = fields { fields } else { Map::new() }
    }

    fn picture(&self, code: &str, size: &str) -> String {
        let expired = self.author.handle == EXPIRED_HANDLE && self.place == EXPIRED_PLACE;
        let kind = if expired { EXPIRED_KIND } else { self.author.persona.name };
        format!("{}/images/{kind}/{code}-{size}.jpg", self.base)
    }

    /// What a recogniser says about the picture; videos have no such text.
    fn description(&self, id: u64, medium: Medium) -> Value {
        let day = DateTime::from_timestamp(self.taken_at as i64, 0);
        match (medium, day) {
            (Medium::Video, _) | (_, None) => Value::Null,
            (_, Some(day)) => {
                let sight = Dice::of(&["sight", &id.to_string()]).pick(&self.author.persona.sights);
                let day = day.format("%B %-d, %Y");
                let name = &self.author.full_name;
                json!(format!("Photo by {name} on {day}. May be an image of {sight}."))
            }
        }
    }

    fn numbers(&mut self) -> Value {
        let typical = self.author.followers * self.author.likes_per_10k / 10_000;
        let likes = typical * self.dice.between(55, 170) / 100 + self.dice.below(9);
        let comments = likes * self.dice.between(60, 420) / 10_000 + self.dice.below(5);
        let mut numbers = json!({
            "edge_liked_by": { "count": likes },
            "edge_media_preview_like": { "count": likes },
            "edge_media_to_comment": { "count": comments },
        });
        if self.medium == Medium::Video {
            numbers["video_view_count"] = json!(likes * self.dice.between(4, 14));
            numbers["video_url"] =
                json!(format!("{}/videos/{}.mp4", self.base, shortcode(self.id)));
            numbers["has_audio"] = json!(self.dice.chance(92));
            numbers["product_type"] = json!("clips");
            numbers["dash_info"] = json!({
                "is_dash_eligible": false,
                "video_dash_manifest": null,
                "number_of_qualities": 0,
            });
            numbers["clips_music_attribution_info"] = json!({
                "artist_name": self.author.handle,
                "song_name": "Original audio",
                "uses_original_audio": true,
                "should_mute_audio": false,
                "should_mute_audio_reason": "",
                "audio_id": (self.id >> 8).to_string(),
            });
        }
        numbers
    }

    /// Somebody the post was published together with: one post of some profiles.
    fn coauthor(&mut self) -> Option<Character> {
        let together = self.author.collaborates && self.place == 5;
        together.then(|| self.friend()).flatten()
    }

    fn friend(&mut self) -> Option<Character> {
        let handle = self.dice.pick(&self.author.persona.friends);
        (handle != self.author.handle).then(|| Character::of(handle))
    }

    fn people(&mut self, coauthor: Option<Character>) -> Value {
        let mut tagged = Vec::new();
        for _ in 0..self.dice.below(8).saturating_sub(5) {
            let Some(friend) = self.friend() else { continue };
            let mut user = brief(&friend, self.base);
            user["followed_by_viewer"] = json!(false);
            let x = self.dice.between(8, 92) as f64 / 100.0;
            let y = self.dice.between(8, 92) as f64 / 100.0;
            tagged.push(json!({ "node": { "user": user, "x": x, "y": y } }));
        }
        // The owner of a joint post may be the other one: readers must not take it for the author.
        let owner = coauthor.as_ref().filter(|_| self.dice.chance(50)).unwrap_or(self.author);
        let owner = json!({ "id": owner.id.to_string(), "username": owner.handle });
        let producers: Vec<Value> = coauthor
            .iter()
            .map(|other| {
                let mut producer = brief(other, self.base);
                if let Some(fields) = producer.as_object_mut() {
                    fields.remove("full_name");
                    fields.remove("is_private");
                }
                producer
            })
            .collect();
        json!({
            "owner": owner,
            "coauthor_producers": producers,
            "edge_media_to_tagged_user": { "edges": tagged },
        })
    }

    fn surroundings(&mut self) -> Value {
        let location = if self.dice.chance(42) {
            let name = self.dice.pick(&self.author.persona.places);
            let id = Dice::of(&["place", name]).between(100_000_000, 999_999_999_999);
            json!({
                "id": id.to_string(),
                "has_public_page": true,
                "name": name,
                "slug": slug(name),
            })
        } else {
            Value::Null
        };
        json!({
            "location": location,
            "comments_disabled": self.dice.chance(4),
            "like_and_view_counts_disabled": false,
            "viewer_can_reshare": true,
            "has_upcoming_event": false,
            "nft_asset_info": null,
            "felix_profile_grid_crop": null,
            "pinned_for_users": [],
        })
    }

    /// The pictures of an album; the cover is the first of them.
    fn children(&mut self) -> Value {
        let children: Vec<Value> = (0..self.dice.between(2, 6))
            .map(|number| {
                // Just below the album's own id in time, so no other post can have it.
                let id = self.id - ((number + 1) << 23);
                let mut child = self.looks(id, Medium::Album);
                if number == 0 {
                    let cover = self.picture(&shortcode(self.id), "640x640");
                    child.insert("display_url".to_owned(), json!(cover));
                }
                child.insert("__typename".to_owned(), json!("GraphImage"));
                child.insert("edge_media_to_tagged_user".to_owned(), json!({ "edges": [] }));
                child.insert(
                    "owner".to_owned(),
                    json!({
                        "id": self.author.id.to_string(),
                        "username": self.author.handle,
                    }),
                );
                json!({ "node": child })
            })
            .collect();
        json!({ "edge_sidecar_to_children": { "edges": children } })
    }
}

fn slug(name: &str) -> String {
    name.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join("-")
}
