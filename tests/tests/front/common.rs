//! What the stories of the front door share.

use std::collections::BTreeMap;
use std::time::Duration;

use farm::demo::Scripted;
use jobs::Options;
use jobs::kinds::noop::Noop;
use serde_json::{Value, json};
use tests::{Answer, Client, PATIENCE, System};
use tokio::io::{AsyncRead, AsyncReadExt};
use uuid::Uuid;

pub const HOUR: Duration = Duration::from_secs(3_600);

/// Everywhere a profile is read.
pub fn profile(handle: &str) -> String {
    format!("/api/profile/{handle}")
}

/// Where its posts are read.
pub fn posts(handle: &str) -> String {
    format!("/api/profile/{handle}/posts")
}

/// Where a fetch is started.
pub fn refresh(handle: &str) -> String {
    format!("/api/v1/instagram/profile/{handle}/refresh")
}

/// A job, or something below it.
pub fn job(id: Uuid, below: &str) -> String {
    format!("/api/v1/jobs/{id}{below}")
}

/// The id in a job view.
#[track_caller]
pub fn id_of(view: &Value) -> Uuid {
    view["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id: {view}"))
}

/// Starts a fetch and does not wait for it.
pub async fn submit(client: &Client, handle: &str) -> Uuid {
    id_of(&client.post(&refresh(handle)).await.expect(202).json)
}

/// Fetches a profile to its end, whatever that is, and returns the row's view.
pub async fn fetched(system: &System, client: &Client, handle: &str) -> Value {
    let id = submit(client, handle).await;
    system.finish(id).await;
    client.get(&job(id, "")).await.expect(200).json
}

/// A job that does as it is told, for a user.
pub async fn noop(system: &System, user: &str, what: &Noop) -> Uuid {
    let user_id = Some(system.user(user).await.id);
    let options = Options { user_id, ..Options::default() };
    system.jobs.submit(what, &options).await.unwrap().id
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub word: String,
    pub data: Value,
}

/// A stream of events, read as it comes.
pub struct Stream {
    body: std::pin::Pin<Box<dyn AsyncRead + Send>>,
    text: String,
    pub comments: usize,
}

impl Stream {
    /// Opens it; fails unless it is one.
    pub async fn open(client: &Client, path: &str) -> Self {
        let response = client.open(path).await;
        assert_eq!(response.status().as_u16(), 200, "{path}");
        assert_eq!(response.content_type(), Some("text/event-stream"));
        let body = Box::pin(response.into_body().into_async_read());
        Self { body, text: String::new(), comments: 0 }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if block.starts_with(':') {
                self.comments += 1;
                continue;
            }
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim_start().to_owned()
            };
            let data = serde_json::from_str(&field("data:")).unwrap();
            return Some(Event { id: field("id:"), word: field("event:"), data });
        }
    }

    /// The next event or comment as text.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let mut buffer = [0; 4_096];
            let read = tokio::time::timeout(PATIENCE, self.body.read(&mut buffer)).await;
            match read.expect("the stream says nothing").unwrap() {
                0 => return None,
                n => self.text.push_str(std::str::from_utf8(&buffer[..n]).unwrap()),
            }
        }
    }

    /// The first event that is as wished.
    pub async fn until(&mut self, what: &str, wish: impl Fn(&Value) -> bool) -> Event {
        loop {
            let event = self.next().await;
            let event = event.unwrap_or_else(|| panic!("the stream ended before {what}"));
            if wish(&event.data) {
                return event;
            }
        }
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut all = vec![];
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }

    /// Reads on until nothing has come for this long.
    pub async fn drain(&mut self, time: Duration) {
        while let Ok(event) = tokio::time::timeout(time, self.next()).await {
            assert!(event.is_some(), "the stream ended");
        }
    }

    /// Fails when something comes within the time.
    pub async fn silent_for(&mut self, time: Duration) {
        if let Ok(event) = tokio::time::timeout(time, self.next()).await {
            panic!("nothing is new, and yet: {event:?}");
        }
    }
}

/// GET; of a stream no more than the first event, for it may go on for ever.
pub async fn first_of(client: &Client, path: &str) -> Answer {
    let response = client.open(path).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = if response.content_type() == Some("text/event-stream") {
        let body = Box::pin(response.into_body().into_async_read());
        Stream { body, text: String::new(), comments: 0 }.block().await.unwrap_or_default()
    } else {
        response.into_body().into_string().await.unwrap()
    };
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, json }
}

/// A token of a user that is good for so many seconds, which may lie in the past.
pub async fn token(system: &System, user: &str, ttl_s: i64) -> String {
    // The secret of every `System`.
    let issuer = api::Issuer::new(b"a secret for tests, thirty-two bytes");
    issuer.sign(&system.user(user).await, ttl_s).unwrap()
}

/// Fails unless a refusal is a problem a client can print, and a 403 keeps the user signed in.
#[track_caller]
pub fn check_refusal(answer: &Answer) {
    let status = answer.status.as_u16();
    assert!((400..500).contains(&status), "{status}: {}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.json["status"], status);
    for field in ["type", "title", "detail", "error", "code", "request_id"] {
        let text = answer.json[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{field} is a plain text: {}", answer.text);
    }
    assert_eq!(answer.json["detail"], answer.json["error"]);
    assert_eq!(answer.header("x-request-id"), answer.json["request_id"].as_str());
    if status == 401 {
        assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    }
    if status == 403 {
        check_no_sign_out(answer);
    }
}

/// The web client signs a user out when the text of a 403 has one of these words.
#[track_caller]
pub fn check_no_sign_out(answer: &Answer) {
    let text = answer.text.to_lowercase();
    for word in ["token", "expired", "invalid"] {
        assert!(!text.contains(word), "a 403 says {word}: {text}");
    }
}

/// The value with our own ids, times and versions replaced, so that it is the same in every run.
/// The same id gets the same replacement.
pub fn masked(value: &Value) -> Value {
    Mask::default().value(value)
}

#[derive(Default)]
struct Mask {
    ids: BTreeMap<Uuid, usize>,
}

/// Fields of ours that hold a time or count what cannot be the same twice.
const RUNNING: [&str; 17] = [
    "created_at",
    "started_at",
    "finished_at",
    "completed_at",
    "run_at",
    "updated_at",
    "cancel_requested_at",
    "last_refreshed",
    "last_analyzed",
    "discovered_at",
    "granted_at",
    "access_until",
    "age_seconds",
    "elapsed_seconds",
    "version",
    "request_id",
    "result_expires_at",
];

impl Mask {
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| {
                    let hide = RUNNING.contains(&name.as_str()) && !value.is_null();
                    let shown = if hide { json!(format!("[{name}]")) } else { self.value(value) };
                    (name.clone(), shown)
                })
                .collect(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::String(text) => Value::String(self.text(text)),
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> String {
        let parts = text.split('/').map(|part| match part.parse::<Uuid>() {
            Ok(id) => {
                let next = self.ids.len() + 1;
                format!("[id {}]", self.ids.entry(id).or_insert(next))
            }
            Err(_) => part
                .split_once("127.0.0.1:")
                .map_or_else(|| part.to_owned(), |(before, _)| format!("{before}[provider]")),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// A post of a [`Creator`].
#[derive(Clone)]
pub struct Post {
    pub shortcode: &'static str,
    pub caption: &'static str,
    pub likes: u64,
    pub comments: u64,
}

impl Post {
    pub fn new(shortcode: &'static str, caption: &'static str, likes: u64) -> Self {
        Self { shortcode, caption, likes, comments: 1 }
    }
}

/// An account as the provider knows it, for scripts.
#[derive(Clone)]
pub struct Creator {
    pub id: &'static str,
    pub username: &'static str,
    pub followers: u64,
    pub posts: Vec<Post>,
}

impl Creator {
    pub fn new(id: &'static str, username: &'static str) -> Self {
        Self { id, username, followers: 1_000, posts: vec![] }
    }

    pub fn posts(mut self, posts: &[Post]) -> Self {
        self.posts = posts.to_vec();
        self
    }

    /// The provider's answer about it.
    pub fn answer(&self) -> Scripted {
        let edges: Vec<Value> = self
            .posts
            .iter()
            .enumerate()
            .map(|(place, post)| {
                json!({ "node": {
                    "__typename": "GraphImage",
                    "id": format!("{}{place}", self.id),
                    "shortcode": post.shortcode,
                    "is_video": false,
                    "edge_media_to_caption": { "edges": [{ "node": { "text": post.caption } }] },
                    "edge_liked_by": { "count": post.likes },
                    "edge_media_to_comment": { "count": post.comments },
                    "taken_at_timestamp": 1_790_000_000 - place * 86_400,
                } })
            })
            .collect();
        let user = json!({
            "id": self.id,
            "username": self.username,
            "full_name": format!("Creator {}", self.id),
            "is_private": false,
            "edge_followed_by": { "count": self.followers },
            "edge_owner_to_timeline_media": { "count": edges.len(), "edges": edges },
        });
        let result = json!({ "content": { "data": { "user": user } }, "status_code": 200 });
        http(200, &json!({ "results": [result] }))
    }
}

/// A scripted HTTP answer.
pub fn http(status: u16, body: &Value) -> Scripted {
    Scripted::Http { status, body: body.to_string(), headers: vec![] }
}
