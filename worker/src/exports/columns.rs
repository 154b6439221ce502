//! The columns, declared once for all formats.

use std::borrow::Cow;

use entity::Time;
use entity::export::rows::{PostRow, ProfileRow};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Unknown,
    Text(Cow<'a, str>),
    Link(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(Time),
    /// Hashtags, mentions.
    Words(Vec<&'a str>),
}

/// A column: its heading, and its value in a row.
pub(super) type Column<R> = (&'static str, for<'a> fn(&'a R) -> Cell<'a>);

pub(super) const PROFILE: &[Column<ProfileRow>] = &[
    ("username", |row| Cell::Text(row.username.as_str().into())),
    ("full_name", |row| text(row.full_name.as_deref())),
    ("followers_count", |row| int(row.followers_count)),
    ("following_count", |row| int(row.following_count)),
    ("posts_count", |row| int(row.posts_count)),
    ("engagement_rate", |row| float(row.engagement_rate)),
    ("is_verified", |row| row.is_verified.map_or(Cell::Unknown, Cell::Bool)),
    ("category", |row| text(row.category.as_deref())),
    ("avg_likes", |row| float(row.avg_likes)),
    ("avg_comments", |row| float(row.avg_comments)),
    ("posting_frequency", |row| float(row.posting_frequency_per_day)),
    ("ai_content_category", |row| text(row.ai_primary_content_type.as_deref())),
    ("ai_sentiment_score", |row| float(row.ai_avg_sentiment_score)),
    ("ai_quality_score", |row| float(row.ai_content_quality_score)),
    ("profile_url", |row| Cell::Link(format!("https://www.instagram.com/{}/", row.username))),
];

pub(super) const POST: &[Column<PostRow>] = &[
    ("shortcode", |row| Cell::Text(row.shortcode.as_str().into())),
    ("post_url", |row| Cell::Link(format!("https://www.instagram.com/p/{}/", row.shortcode))),
    ("posted_at", |row| row.posted_at.map_or(Cell::Unknown, Cell::Time)),
    ("media_type", |row| text(row.media_type.as_deref())),
    ("caption", |row| text(row.caption.as_deref())),
    ("likes_count", |row| int(row.likes_count)),
    ("comments_count", |row| int(row.comments_count)),
    ("video_view_count", |row| int(row.video_view_count)),
    ("post_engagement_rate", |row| float(row.engagement_rate)),
    ("hashtags", |row| words(&row.hashtags)),
    ("mentions", |row| words(&row.mentions)),
    ("location", |row| text(row.location_name.as_deref())),
    ("ai_category", |row| text(row.ai_content_category.as_deref())),
    ("ai_category_confidence", |row| float(row.ai_category_confidence)),
    ("ai_sentiment", |row| text(row.ai_sentiment.as_deref())),
    ("ai_post_sentiment_score", |row| float(row.ai_sentiment_score)),
    ("ai_language", |row| text(row.ai_language_code.as_deref())),
];

fn text(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Unknown, |text| Cell::Text(text.into()))
}

fn int(number: Option<i64>) -> Cell<'static> {
    number.map_or(Cell::Unknown, Cell::Int)
}

/// What is no number is not known.
fn float(number: Option<f64>) -> Cell<'static> {
    number.filter(|number| number.is_finite()).map_or(Cell::Unknown, Cell::Float)
}

fn words(list: &Value) -> Cell<'_> {
    Cell::Words(list.as_array().into_iter().flatten().filter_map(Value::as_str).collect())
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Link(link) => serializer.serialize_str(link),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Bool(yes) => serializer.serialize_bool(*yes),
            Self::Time(time) => serializer.serialize_str(&time.rfc3339()),
            Self::Words(words) => words.serialize(serializer),
        }
    }
}

/// A row as an object, its fields in the order of the columns, others before them.
pub(super) struct Object<'a, R: 'static> {
    pub(super) before: &'a [(&'static str, &'a str)],
    pub(super) columns: &'static [Column<R>],
    pub(super) row: &'a R,
}

impl<R> Serialize for Object<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.before.len() + self.columns.len()))?;
        for (name, value) in self.before {
            map.serialize_entry(name, value)?;
        }
        for (name, cell) in self.columns {
            map.serialize_entry(name, &cell(self.row))?;
        }
        map.end()
    }
}
