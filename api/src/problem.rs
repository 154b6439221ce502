//! The one body of every error: `application/problem+json`, with plain text in `detail` and
//! `error`, because clients print them.

use entity::DbErr;
use poem::error::{
    CorsError, MethodNotAllowedError, NotFoundError, ParsePathError as PoemPathError,
    ParseQueryError, ReadBodyError, ResponseError,
};
use poem::http::{HeaderValue, StatusCode};
use poem::{Error, IntoResponse, Response};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde_json::{Map, Value, json};

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    extra: Map<String, Value>,
    headers: Vec<(&'static str, String)>,
}

/// The documented shape of an error; more fields may stand beside these.
#[derive(Object, Debug)]
pub struct ProblemBody {
    /// `about:blank`, or a link to the rule.
    r#type: String,
    /// The status in words.
    title: String,
    /// HTTP status.
    status: u16,
    /// What failed, on what, and what to do.
    detail: String,
    /// The same text as `detail`.
    error: String,
    /// A word for programs.
    code: String,
    /// The request, for support.
    request_id: Option<String>,
    /// The input that was refused.
    field: Option<String>,
}

impl Problem {
    /// An error of a status, with a word for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), extra: Map::new(), headers: vec![] }
    }

    /// Bad input, naming the field and the rule.
    pub fn field(field: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", format!("{field}: {rule}"))
            .with("field", field)
    }

    /// No such thing, or none that the caller may see.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// Who are you?
    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail).header("WWW-Authenticate", "Bearer")
    }

    /// The state of things does not allow it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// Not that way.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not support the method; see /docs",
        )
    }

    /// Machine data beside the text.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// A header beside the body.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it says that nobody knows who asks.
    pub fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// The body and headers, without a request id (the front adds it).
    pub fn into_response(self) -> Response {
        self.response(None)
    }

    fn response(&self, request_id: Option<&str>) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "error": self.detail,
            "code": self.code,
            "request_id": request_id,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.extra.clone());
        }
        let mut response = Response::builder()
            .status(self.status)
            .content_type("application/problem+json")
            .body(body.to_string());
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        response
    }

    /// Whatever went wrong anywhere below, as a problem with its request id.
    pub fn respond(error: &Error, request_id: &str) -> Response {
        Self::of(error).response(Some(request_id))
    }

    fn of(error: &Error) -> Self {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return problem.clone();
        }
        if let Some(e) = error.downcast_ref::<ParseParamError>() {
            return Self::field(e.name, &e.reason);
        }
        if let Some(e) = error.downcast_ref::<ParsePathError>() {
            // Typed path parameters are ids; the router calls them param0, param1, ….
            if e.name.starts_with("param") {
                return Self::field("id", "must be a UUID");
            }
            return Self::field(e.name, &e.reason);
        }
        if let Some(e) = error.downcast_ref::<ParseRequestPayloadError>() {
            return Self::body("body", &e.reason);
        }
        if error.is::<ParseQueryError>() || error.is::<PoemPathError>() {
            return Self::field("url", error);
        }
        if error.is::<AuthorizationError>() {
            let detail = "send a bearer token: Authorization: Bearer …";
            return Self::unauthorized("not_authenticated", detail);
        }
        if let Some(e) = error.downcast_ref::<ContentTypeError>() {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Self::new(status, "unsupported_media_type", e.to_string())
                .with("field", "Content-Type");
        }
        if let Some(e) = error.downcast_ref::<ReadBodyError>() {
            return Self::read_body(e);
        }
        if error.is::<CorsError>() {
            return Self::new(StatusCode::FORBIDDEN, "origin", "this origin may not call the API");
        }
        if error.is::<NotFoundError>() {
            return Self::not_found("no_such_path", "no endpoint has this path; see /docs");
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::method_not_allowed();
        }
        let status = error.status();
        if status.is_client_error() {
            return Self::new(status, "bad_request", error.to_string());
        }
        tracing::error!(%error, "request failed");
        Self::internal()
    }

    /// A body that cannot be read, naming the field and the rule.
    pub fn body(field: &str, rule: impl std::fmt::Display) -> Self {
        let what = if field == "body" { String::new() } else { format!("{field}: ") };
        let detail = format!("body: {what}{rule}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", detail).with("field", field)
    }

    fn read_body(error: &ReadBodyError) -> Self {
        match error {
            ReadBodyError::PayloadTooLarge => Self::too_large(),
            other => Self::new(StatusCode::BAD_REQUEST, "invalid_body", format!("body: {other}"))
                .with("field", "body"),
        }
    }

    /// Over the limit.
    pub fn too_large() -> Self {
        let detail = "body: must be at most 1 MiB";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).with("field", "body")
    }

    /// Asking again shortly is worthwhile.
    pub fn database_away() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "the database cannot be reached; try again shortly",
        )
        .header("Retry-After", "5")
    }

    /// Our fault; the log has the reason.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something failed on our side; the request id finds it in our logs",
        )
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.response(None)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(None)
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        let away = matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_));
        tracing::error!(%error, "the database refused");
        if away {
            return Self::database_away();
        }
        Self::internal()
    }
}

impl From<entity::ledger::LedgerError> for Problem {
    fn from(error: entity::ledger::LedgerError) -> Self {
        jobs::JobsError::from(error).into()
    }
}

impl From<jobs::JobsError> for Problem {
    fn from(error: jobs::JobsError) -> Self {
        match error {
            jobs::JobsError::Db(error) => error.into(),
            jobs::JobsError::Unpaid(refusal) => crate::gate::refused(&refusal),
            jobs::JobsError::Payload { .. } => {
                tracing::error!(%error, "a job could not be written");
                Self::internal()
            }
        }
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Any error",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "application/problem+json",
                    schema: ProblemBody::schema_ref(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}
