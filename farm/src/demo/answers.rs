//! Answers in the vendor's envelope, before they become HTTP: the good ones and every bad one.

use serde_json::{Value, json};

use super::{character::PRESENT, dice::Dice, handle::Conduct, last_resort, profile};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `instagram_graphql_profile`, the main one.
    Profile,
    /// `instagram_profile`, the last resort.
    LastResort,
}

impl Target {
    /// Reads the `target` of a request.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "instagram_graphql_profile" => Some(Self::Profile),
            "instagram_profile" => Some(Self::LastResort),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Profile => "instagram_graphql_profile",
            Self::LastResort => "instagram_profile",
        }
    }
}

/// An answer on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A whole body.
    Whole {
        /// The HTTP status.
        status: u16,
        /// Headers beyond `content-type: application/json`, or in its place.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// A body sent in pieces: `head`, `times` × `filling`, `tail`.
    Streamed {
        /// The beginning.
        head: String,
        /// What is repeated.
        filling: String,
        /// How often.
        times: usize,
        /// The end.
        tail: String,
    },
    /// These bytes, then a connection that breaks off in the middle of the body.
    BrokenOff(Vec<u8>),
    /// The connection is closed without a word.
    Cut,
}

impl Reply {
    /// A JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Whole { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// The vendor's short form of an error.
    pub fn failed(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message, "status": "failed" }))
    }

    /// The status a log should show; 0 when the line was cut.
    pub fn status(&self) -> u16 {
        match self {
            Self::Whole { status, .. } => *status,
            Self::Streamed { .. } | Self::BrokenOff(_) => 200,
            Self::Cut => 0,
        }
    }
}

/// A question the provider understood.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The handle, already valid.
    pub handle: &'a str,
    /// What is wanted.
    pub target: Target,
    /// Where pictures are served.
    pub base: &'a str,
}

impl Question<'_> {
    /// The vendor's number for this scrape.
    pub fn task_id(&self) -> String {
        Dice::of(&["task", self.handle, self.target.name()])
            .between(7_100_000_000_000_000_000, 7_499_999_999_999_999_999)
            .to_string()
    }

    /// The good answer.
    pub fn profile(&self) -> Value {
        let content = match self.target {
            Target::Profile => {
                json!({ "data": { "user": profile::user(self.handle, self.base) }, "status": "ok" })
            }
            Target::LastResort => last_resort::content(self.handle, self.base, &self.task_id()),
        };
        self.envelope(&content)
    }

    /// `content` in the vendor's wrapping.
    pub fn envelope(&self, content: &Value) -> Value {
        let moment = vendor_time();
        json!({
            "results": [{
                "content": content,
                "headers": {},
                "cookies": [],
                "status_code": 200,
                "query": self.handle,
                "task_id": self.task_id(),
                "created_at": moment,
                "updated_at": moment,
            }],
        })
    }

    /// The answer of a handle's conduct on its `turn`-th call (0, 1, 2 and again from 0; only the
    /// handles that fail in turn look at it).
    pub fn answer(&self, turn: u32) -> Reply {
        match (Conduct::of(self.handle), turn) {
            (Conduct::Missing, _) => Reply::json(200, &self.envelope(&self.nobody())),
            (Conduct::Down, _) | (Conduct::Flaky, 0) => unstable(),
            (Conduct::Flaky, 1) => self.could_not_scrape(),
            (Conduct::Limited, 0 | 1) => too_many(),
            (Conduct::Unauthorized, _) => unauthorized(),
            (Conduct::Pending, _) => Reply::json(200, &self.pending()),
            (Conduct::Garbage, _) => Reply::json(200, &self.envelope(&self.garbage())),
            (Conduct::Huge, _) => self.huge(),
            (Conduct::Truncated, _) => {
                let mut body = self.profile().to_string().into_bytes();
                body.truncate(body.len() / 2);
                Reply::BrokenOff(body)
            }
            (
                Conduct::Ordinary
                | Conduct::Private
                | Conduct::Slow
                | Conduct::Flaky
                | Conduct::Limited,
                _,
            ) => Reply::json(200, &self.profile()),
        }
    }

    /// "Failed 613", which arrives with HTTP 200 and without `results`.
    pub fn could_not_scrape(&self) -> Reply {
        Reply::json(
            200,
            &json!({
                "status": "failed",
                "status_code": 613,
                "message": "The page could not be read this time.",
                "task_id": self.task_id(),
            }),
        )
    }

    fn nobody(&self) -> Value {
        match self.target {
            Target::Profile => json!({ "data": {}, "status": "ok" }),
            Target::LastResort => last_resort::not_found(self.handle, &self.task_id()),
        }
    }

    /// The task as it was queued; its number is called `id` here, not `task_id`.
    fn pending(&self) -> Value {
        let moment = vendor_time();
        json!({
            "id": self.task_id(),
            "status": "pending",
            "target": self.target.name(),
            "query": self.handle,
            "page_from": 1,
            "page_count": 1,
            "limit": 10,
            "parse": false,
            "geo": null,
            "locale": null,
            "headless": null,
            "device_type": "desktop",
            "domain": "com",
            "created_at": moment,
            "updated_at": moment,
        })
    }

    /// Looks like a profile at a glance; not one type is right and the id is not there.
    fn garbage(&self) -> Value {
        match self.target {
            Target::Profile => json!({ "status": "ok", "data": { "user": {
                "username": 4711,
                "full_name": ["not", "a", "name"],
                "biography": { "text": true },
                "is_private": "perhaps",
                "edge_followed_by": "very many",
                "edge_follow": [],
                "edge_owner_to_timeline_media": {
                    "count": "twelve",
                    "edges": { "node": "a post", "shortcode": 12 },
                },
            } } }),
            Target::LastResort => json!({ "data": {
                "content": { "account": self.handle, "stats": [1, 2, 3], "posts": "none of them" },
                "errors": {},
                "status_code": "ok",
            } }),
        }
    }

    /// The ordinary answer with some 9 MiB of biography in a field nobody needs.
    fn huge(&self) -> Reply {
        const FIELD: &str = "biography_history";
        let mut answer = self.profile();
        let data = &mut answer["results"][0]["content"]["data"];
        let whole = match self.target {
            Target::Profile => &mut data["user"],
            Target::LastResort => &mut data["content"],
        };
        whole[FIELD] = json!(["The first biography."]);
        let text = answer.to_string();
        let seam =
            text.find(FIELD).and_then(|field| text[field..].find(']').map(|end| field + end));
        let (head, tail) = text.split_at(seam.unwrap_or(text.len()));
        let filling = ",\"An earlier biography, kept because nobody dared to throw it away.\"";
        Reply::Streamed {
            head: head.to_owned(),
            filling: filling.repeat(1000),
            times: 9 * 1024 * 1024 / (filling.len() * 1000) + 1,
            tail: tail.to_owned(),
        }
    }
}

/// HTTP 500 with the vendor's short error.
pub fn unstable() -> Reply {
    Reply::failed(500, "The scraper is not available at the moment.")
}

/// HTTP 401 as the vendor words it.
pub fn unauthorized() -> Reply {
    Reply::failed(401, "Unauthorized")
}

/// HTTP 429: a bare JSON string, and the seconds to wait.
fn too_many() -> Reply {
    Reply::Whole {
        status: 429,
        headers: vec![("retry-after".to_owned(), "1".to_owned())],
        body: json!("Too many requests, slow down").to_string().into_bytes(),
    }
}

/// The fixed present, as the vendor writes times.
fn vendor_time() -> String {
    chrono::DateTime::from_timestamp(PRESENT as i64, 0)
        .map(|moment| moment.format("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(handle: &str, target: Target) -> Question<'_> {
        Question { handle, target, base: "http://127.0.0.1:8100" }
    }

    fn whole(reply: Reply) -> (u16, Value) {
        match reply {
            Reply::Whole { status, body, .. } => {
                (status, serde_json::from_slice(&body).expect("JSON"))
            }
            other => panic!("not a whole body: {other:?}"),
        }
    }

    #[test]
    fn an_answer_is_the_same_bytes_every_time() {
        for target in [Target::Profile, Target::LastResort] {
            let question = ask("demo_travel", target);
            assert_eq!(question.answer(0), question.answer(0));
            let (_, body) = whole(question.answer(0));
            assert_eq!(body["results"][0]["query"], "demo_travel");
            assert_eq!(body["results"][0]["created_at"], "2026-11-01 00:00:00");
        }
    }

    #[test]
    fn targets_are_the_documented_two() {
        assert_eq!(Target::named("instagram_graphql_profile"), Some(Target::Profile));
        assert_eq!(Target::named("instagram_profile"), Some(Target::LastResort));
        assert_eq!(Target::named("instagram_graphql_posts"), None);
    }

    #[test]
    fn missing_has_content_and_no_user_for_both_targets() {
        for target in [Target::Profile, Target::LastResort] {
            let (status, body) = whole(ask("demo_missing", target).answer(0));
            assert_eq!(status, 200);
            assert!(body["results"][0]["content"]["data"].is_object());
            assert!(body["results"][0]["content"]["data"]["user"].is_null());
            assert!(body["results"][0]["content"]["data"]["content"].is_null());
        }
    }

    #[test]
    fn a_huge_answer_is_valid_json_over_8_mib() {
        for target in [Target::Profile, Target::LastResort] {
            let Reply::Streamed { head, filling, times, tail } = ask("demo_huge", target).answer(0)
            else {
                panic!("streamed");
            };
            let body = format!("{head}{}{tail}", filling.repeat(times));
            assert!(body.len() > 8 * 1024 * 1024, "{} bytes", body.len());
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert!(body["results"][0]["content"]["data"].is_object());
        }
    }
}
