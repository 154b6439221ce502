use std::io::{Read, Seek};

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

fn profile(username: &str) -> ProfileRow {
    ProfileRow {
        id: Uuid::nil(),
        username: username.to_owned(),
        full_name: Some("Ada, \"the first\"\nLovelace".to_owned()),
        followers_count: Some(1_000),
        following_count: None,
        posts_count: Some(2),
        engagement_rate: Some(1.25),
        is_verified: Some(true),
        category: None,
        avg_likes: Some(f64::NAN),
        avg_comments: None,
        posting_frequency_per_day: None,
        ai_primary_content_type: None,
        ai_avg_sentiment_score: Some(-0.5),
        ai_content_quality_score: None,
    }
}

fn post(shortcode: &str, caption: &str) -> PostRow {
    PostRow {
        id: Uuid::nil(),
        shortcode: shortcode.to_owned(),
        taken_at_timestamp: Some(1_700_000_000),
        posted_at: Some(entity::Time(1_700_000_000_000)),
        media_type: Some("GraphImage".to_owned()),
        caption: Some(caption.to_owned()),
        likes_count: Some(-1),
        comments_count: None,
        video_view_count: None,
        engagement_rate: None,
        hashtags: json!(["#a", "#b"]),
        mentions: json!([]),
        location_name: None,
        ai_content_category: None,
        ai_category_confidence: None,
        ai_sentiment: None,
        ai_sentiment_score: None,
        ai_language_code: None,
    }
}

/// What a format writes of two creators, of whom one has posts.
fn written(format: ExportFormat, wanted: Wanted) -> (Vec<u8>, u64) {
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = Writer::open(file.try_clone().unwrap(), format, wanted).unwrap();
    writer.profile(profile("ada")).unwrap();
    if wanted.posts {
        writer.post(&post("AAA", "=1+1")).unwrap();
        writer.post(&post("BBB", "a \"quoted\",\r\nbroken line")).unwrap();
    }
    writer.profile(profile("ben")).unwrap();
    let rows = writer.finish().unwrap();
    let mut bytes = vec![];
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    (bytes, rows)
}

const BOTH: Wanted = Wanted { profiles: true, posts: true, byte_order_mark: false };
const PROFILES: Wanted = Wanted { posts: false, ..BOTH };
const POSTS: Wanted = Wanted { profiles: false, ..BOTH };

fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn a_line_for_each_post_with_its_creator_and_one_for_who_has_none() {
    let (bytes, rows) = written(ExportFormat::Csv, BOTH);
    let records = records(&bytes);
    assert_eq!((records.len(), rows), (4, 3));
    assert!(records.iter().all(|record| record.len() == records[0].len()), "even lines");
    let at = |name: &str| records[0].iter().position(|heading| heading == name).unwrap();
    assert_eq!(records[1][at("username")], "ada");
    assert_eq!(records[1][at("full_name")], "Ada, \"the first\"\nLovelace");
    assert_eq!(records[2][at("caption")], "a \"quoted\",\r\nbroken line");
    assert_eq!(records[3][at("username")], "ben");
    assert_eq!(records[3][at("shortcode")], "");
    assert_eq!(records[1][at("avg_likes")], "", "no number is unknown");
    let mut names = records[0].clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), records[0].len(), "no heading stands twice");
}

#[test]
fn formulas_are_inert_and_numbers_stay_numbers() {
    for text in ["=1+1", "+1", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1"] {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::open(file.try_clone().unwrap(), ExportFormat::Csv, BOTH).unwrap();
        writer.profile(ProfileRow { full_name: Some(text.to_owned()), ..profile("a") }).unwrap();
        writer.finish().unwrap();
        let mut bytes = vec![];
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let record = &records(&bytes)[1];
        assert_eq!(record[1], format!("'{text}"));
        assert_eq!(record[12], "-0.5", "a negative number is no formula");
    }
}

#[test]
fn lines_end_as_the_rule_says_and_the_mark_comes_first() {
    let (plain, _) = written(ExportFormat::Csv, PROFILES);
    assert!(plain.starts_with(b"username,") && plain.ends_with(b"\r\n"));
    let (marked, _) = written(ExportFormat::Csv, Wanted { byte_order_mark: true, ..PROFILES });
    assert_eq!(&marked[..3], "\u{feff}".as_bytes());
    assert_eq!(&marked[3..], &plain[..]);
}

#[test]
fn a_document_holds_each_creator_with_their_posts() {
    let (bytes, rows) = written(ExportFormat::Json, BOTH);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(rows, 4);
    assert_eq!(value["profiles"][0]["posts"][1]["shortcode"], "BBB");
    assert_eq!(value["profiles"][0]["posts"][0]["caption"], "=1+1", "not a spreadsheet");
    assert_eq!(value["profiles"][0]["avg_likes"], Value::Null);
    assert_eq!(value["profiles"][1]["posts"], json!([]));
    let (bytes, rows) = written(ExportFormat::Json, POSTS);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((value["posts"].as_array().unwrap().len(), rows), (2, 2));
    assert_eq!(value["posts"][0]["username"], "ada");
    let (bytes, _) = written(ExportFormat::Json, PROFILES);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["profiles"].as_array().unwrap().len(), 2);
}

#[test]
fn a_document_a_line_says_what_it_is() {
    let (bytes, rows) = written(ExportFormat::Ndjson, BOTH);
    let lines: Vec<Value> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["profile", "post", "post", "profile"]);
    assert_eq!((rows, &lines[1]["username"]), (4, &json!("ada")));
}

#[test]
fn a_workbook_is_written_for_each_choice() {
    for (wanted, rows) in [(BOTH, 4), (PROFILES, 2), (POSTS, 2)] {
        let (bytes, written) = written(ExportFormat::Xlsx, wanted);
        assert_eq!(written, rows);
        assert!(bytes.starts_with(b"PK") && bytes.len() > 2_000);
    }
}
