//! The API as one user sees it, called in process.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::http::{self, HeaderMap, HeaderName, Method, StatusCode};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, RequestParts, Response};
use serde_json::Value;

/// Calls the API, signed in or not.
#[derive(Clone)]
pub struct Client {
    pub(crate) app: Arc<BoxEndpoint<'static, Response>>,
    pub(crate) token: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) from: Option<IpAddr>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as text.
    pub text: String,
    /// Body as JSON; null when it is none.
    pub json: Value,
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Fails unless it is a problem of this status and code, with the texts clients print.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json["code"], code, "{}", answer.text);
        assert_eq!(answer.json["status"], status);
        assert!(answer.json["detail"].is_string() && answer.json["detail"] == answer.json["error"]);
        assert!(answer.json["request_id"].is_string(), "{}", answer.text);
        answer
    }
}

impl Client {
    /// The same caller with one more header on every request.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same caller at another address.
    #[must_use]
    pub fn from(&self, ip: &str) -> Self {
        Self { from: Some(ip.parse().expect("an address")), ..self.clone() }
    }

    /// The same caller at the front door of another.
    #[must_use]
    pub fn at(&self, other: &Self) -> Self {
        Self { app: other.app.clone(), ..self.clone() }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POST without a body.
    pub async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post_json(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    /// POST with any body, announced as JSON.
    pub async fn post_text(&self, path: &str, body: &str) -> Answer {
        self.send(Method::POST, path, Some(body.to_owned())).await
    }

    /// Any method.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let mut request = Request::builder().method(method).uri(path.parse().expect("a path"));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = match body {
            Some(body) => request.content_type("application/json").body(body),
            None => request.finish(),
        };
        self.answer(request).await
    }

    /// GET whose body is no text.
    pub async fn bytes(&self, path: &str) -> (Answer, Vec<u8>) {
        let response = self.open(path).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().into_vec().await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        (Answer { status, headers, text, json }, bytes)
    }

    /// GET whose answer is read while it comes: for streams.
    pub async fn open(&self, path: &str) -> Response {
        let request = Request::builder().uri(path.parse().expect("a path")).finish();
        self.app.get_response(self.sent(self.signed(request))).await
    }

    /// Any request as it stands, with this caller's token and headers added: for bodies and
    /// content types that the other methods cannot send.
    pub async fn call(&self, request: Request) -> Answer {
        self.answer(self.signed(request)).await
    }

    fn signed(&self, mut request: Request) -> Request {
        let token = self.token.iter().map(|token| ("authorization", format!("Bearer {token}")));
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in token.chain(own) {
            let name: HeaderName = name.parse().expect("a header name");
            request.headers_mut().append(name, value.parse().expect("a header value"));
        }
        request
    }

    /// As it comes off a connection from the caller's address.
    fn sent(&self, mut request: Request) -> Request {
        let Some(ip) = self.from else { return request };
        let body = request.take_body();
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.headers = std::mem::take(request.headers_mut());
        let here = LocalAddr(Addr::default());
        let peer = RemoteAddr(Addr::SocketAddr(SocketAddr::new(ip, 1_024)));
        let scheme = request.scheme().clone();
        Request::from_parts(RequestParts::from((parts, here, peer, scheme)), body)
    }

    async fn answer(&self, request: Request) -> Answer {
        let response = self.app.get_response(self.sent(request)).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.into_body().into_string().await.expect("a text body");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, json }
    }
}
