//! Requests nobody would send on purpose. The dice are seeded: every run throws the same.

use poem::Request;
use poem::http::{HeaderName, HeaderValue, Method};
use serde_json::Value;
use tests::System;
use uuid::Uuid;

use crate::common::check_refusal;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.throw() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.throw() as u8).collect()
    }

    /// Bytes as a part of a URL: some as they are, the rest escaped.
    fn part(&mut self, most: usize) -> String {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        };
        self.bytes(most).into_iter().map(escape).collect()
    }

    fn path(&mut self, job: Uuid) -> String {
        let part = match self.below(5) {
            0 => self.part(40),
            1 => job.to_string(),
            2 => "somebody".to_owned(),
            3 => {
                self.pick(&["..", "%2e%2e", "%00", "%2F", "batch-get", "%", "a;b", "~"]).to_owned()
            }
            _ => self.part(8),
        };
        match self.below(22) {
            0 => format!("/api/profile/{part}"),
            1 => format!("/api/profile/{part}/posts"),
            2 => format!("/api/v1/instagram/profile/{part}/refresh"),
            3 => format!("/api/v1/jobs/{part}"),
            4 => format!("/api/v1/jobs/{part}/status"),
            5 => format!("/api/v1/jobs/{part}/result"),
            6 => format!("/api/v1/jobs/{part}/retry"),
            7 => "/api/v1/jobs".to_owned(),
            8 => "/api/v1/jobs/batch-get".to_owned(),
            9 => "/api/v1/auth/login".to_owned(),
            10 => format!("/api/v1/jobs/{part}/events"),
            11 => format!("/api/v1/analytics/{}/{part}", self.pick(&["profile", "posts"])),
            12 => "/api/v1/analytics/bulk/profiles".to_owned(),
            13 => format!("/api/v1/queues/{part}/pause"),
            14 => "/api/v1/jobs/dead".to_owned(),
            15 => "/api/v1/jobs/dead/redrive".to_owned(),
            16 => self.pick(&["/api/v1/queues", "/api/v1/workers/overview"]).to_owned(),
            17 => {
                let what = ["register", "refresh", "logout", "me", "dashboard", "forgot-password"];
                format!("/api/v1/auth/{}", self.pick(&what))
            }
            18 => format!("/api/v1/auth/verify-email/{part}"),
            19 => "/api/v1/auth/search-history".to_owned(),
            20 => self.pick(&["/livez", "/readyz", "/openapi.json", "/docs", "/"]).to_owned(),
            _ => format!("/{part}/{}", self.part(6)),
        }
    }

    fn query(&mut self) -> String {
        let mut query = String::new();
        for n in 0..self.below(4) {
            let name = self.pick(&[
                "limit", "cursor", "since", "state", "kind", "wait", "fetch", "x", "%00", "",
            ]);
            let value = match self.below(4) {
                0 => self.part(20),
                1 => {
                    self.pick(&["0", "1", "100", "-1", "1e9", "true", "null", "queued"]).to_owned()
                }
                2 => self.throw().to_string(),
                _ => String::new(),
            };
            // A fetch may wait, which is not what is tried here.
            let value = if name == "wait" && value.len() < 3 { "0".to_owned() } else { value };
            query.push(if n == 0 { '?' } else { '&' });
            query.push_str(name);
            query.push_str(self.pick(&["=", "", "=="]));
            query.push_str(&value);
        }
        query
    }

    fn json(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => self.throw().to_string(),
            3 => format!("-{}e{}", self.below(99), self.below(400)),
            4 => "\"\\u0000\\ud800\"".to_owned(),
            5 => format!("\"{}\"", self.part(12)),
            6 => format!("[{},{}]", self.json(depth - 1), self.json(depth - 1)),
            _ => {
                let name = self.pick(&[
                    "ids",
                    "include_posts",
                    "email",
                    "password",
                    "full_name",
                    "refresh_token",
                    "usernames",
                    "reason",
                    "kind",
                    "fingerprint",
                    "since",
                    "limit",
                    "rate_per_second",
                    "x",
                    "",
                ]);
                format!(
                    "{{\"{name}\":{},\"{name}\":{}}}",
                    self.json(depth - 1),
                    self.json(depth - 1)
                )
            }
        }
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(5) {
            0 => vec![],
            1 => self.bytes(200),
            2 => {
                let mut text = self.json(4).into_bytes();
                text.truncate(text.len() / 2);
                text
            }
            _ => self.json(4).into_bytes(),
        }
    }

    fn header(&mut self) -> Option<(HeaderName, HeaderValue)> {
        let name = self.pick(&[
            "prefer",
            "if-none-match",
            "idempotency-key",
            "x-request-id",
            "accept",
            "content-length",
            "origin",
            "traceparent",
            "authorization",
            "cookie",
            "last-event-id",
        ]);
        let value = match self.below(3) {
            0 => HeaderValue::from_bytes(&self.bytes(60)).ok()?,
            1 => {
                HeaderValue::from_static(self.pick(&["wait=0", "wait=x", "*", "\"", "Bearer ", ""]))
            }
            _ => HeaderValue::from_str(&self.part(30)).ok()?,
        };
        Some((HeaderName::from_static(name), value))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_the_farm_fail() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let job = crate::common::submit(&dana, "somebody").await;
    system.finish(job).await;
    let mut dice = Dice(20_261_122);
    let (mut sent, mut refusals) = (0, 0);
    while sent < 800 {
        let target = format!("{}{}", dice.path(job), dice.query());
        let Ok(uri) = target.parse() else { continue };
        let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
        let method = methods[[0, 0, 0, 1, 1, 1, 2, 3, 4][dice.below(9)]].clone();
        let body = if method == Method::GET { vec![] } else { dice.body() };
        let mut request = Request::builder().method(method.clone()).uri(uri);
        if dice.below(6) > 0 {
            request = request.content_type("application/json");
        }
        for _ in 0..dice.below(3) {
            if let Some((name, value)) = dice.header() {
                request = request.header(name, value);
            }
        }
        let shown = format!("{method} {target} {:?}", String::from_utf8_lossy(&body));
        let caller = match dice.below(10) {
            0 => system.api(),
            1..=3 => admin.clone(),
            _ => dana.clone(),
        };
        let answer = caller.call(request.body(body)).await;
        sent += 1;
        let status = answer.status.as_u16();
        assert!(status < 500, "{shown}: {} {}", status, answer.text);
        assert!(answer.header("x-request-id").is_some(), "{shown}");
        if status >= 400 {
            refusals += 1;
            check_refusal(&answer);
            assert_ne!(answer.json, Value::Null, "{shown}");
        }
    }
    assert!(refusals > 300 && refusals < 780, "the dice try both sides: {refusals} of {sent}");
    system.drain().await;
    system.end().await;
}
