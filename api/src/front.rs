//! What wraps every request: id, timing, CORS, limits on how many and on bodies, and errors as
//! problems.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jobs::quota::Verdict;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::middleware::CatchPanic;
use poem::{Body, Endpoint, EndpointExt, IntoResponse, Request, Response};
use poem_openapi::OperationId;
use tracing::Instrument;
use uuid::Uuid;

use crate::document::Methods;
use crate::limits;
use crate::problem::Problem;
use crate::routes::export_file;
use crate::state::{AppState, Cors};
use crate::traffic::counting_waits;

/// Largest request body, in bytes: 1 MiB.
pub const MAX_BODY: usize = 1 << 20;

/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Headers that every answer gets here and in the server, about.
const MORE_HEADERS: usize = 15;

/// Headers a browser may read, on errors too.
const EXPOSED: &str = "ETag, Location, Retry-After, Preference-Applied, X-Request-Id, \
     X-Process-Time, X-Data-Source, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, \
     X-Credits-Required, X-Credits-Available, X-Credits-Needed, X-Credits-Spent, \
     X-Used-Free-Allowance, X-Remaining-Balance, X-Transaction-ID, X-Usage-Type, \
     X-Current-Usage, X-Limit, X-Available, X-Subscription-Tier, X-Feature-Locked";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");

/// The id of a request, for handlers.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The routes with all that is around them.
struct Front<E> {
    routes: E,
    state: AppState,
    methods: Methods,
    /// The path of each operation.
    paths: HashMap<String, String>,
}

/// Wraps the routes.
pub(crate) fn front<E>(
    routes: E,
    state: AppState,
    methods: Methods,
    paths: HashMap<String, String>,
) -> impl Endpoint<Output = Response> + 'static
where
    E: Endpoint + 'static,
    E::Output: IntoResponse,
{
    let panics = CatchPanic::new().with_handler(panicked);
    Front { routes: routes.with(panics), state, methods, paths }
}

impl<E: Endpoint<Output = Response>> Endpoint for Front<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = request_id(request.headers());
        let origin = allowed_origin(request.headers(), &self.state.cors);
        let uri = request.uri().clone();
        let span = tracing::info_span!(
            "request",
            request.id = %id,
            http.method = %request.method(),
            http.path = %uri.path(),
        );
        let method = request.method().clone();
        let ((mut response, left), waited) = if is_preflight(&request) {
            ((Response::builder().status(StatusCode::NO_CONTENT).finish(), None), Duration::ZERO)
        } else {
            let waits = may_wait(&request);
            let answered = self.admitted(request, &id).instrument(span);
            // Out of line: most requests never wait, and need no room for it.
            if waits {
                Box::pin(counting_waits(answered)).await
            } else {
                (answered.await, Duration::ZERO)
            }
        };
        let refused = response.status() == StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        // All that follow at once, rather than by doubling.
        headers.reserve(MORE_HEADERS);
        if let Some(left) = &left {
            limits::write(headers, left);
        }
        if uri.path().starts_with("/api") {
            let private = HeaderValue::from_static("private, no-cache");
            headers.entry(header::CACHE_CONTROL).or_insert(private);
            headers.append(header::VARY, HeaderValue::from_static("Authorization"));
        }
        if refused {
            set(headers, header::ALLOW, self.methods.allow(uri.path()));
        }
        cors_headers(headers, origin);
        set(headers, REQUEST_ID, &id);
        let took = started.elapsed();
        let hundredths = took.as_micros() / 10;
        set(headers, PROCESS_TIME, &format!("{}.{:02}ms", hundredths / 100, hundredths % 100));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let operation =
            response.data().map_or_else(|| operation(uri.path()), |id: &OperationId| id.0);
        let route = || self.paths.get(operation).map_or(operation, String::as_str);
        let traffic = &self.state.traffic;
        traffic.answered(&method, operation, route, response.status(), took, waited);
        Ok(response)
    }
}

impl<E: Endpoint<Output = Response>> Front<E> {
    /// The answer, and what it leaves of the limit that is closest to refusing.
    async fn admitted(&self, mut request: Request, id: &str) -> (Response, Option<Verdict>) {
        // Before the body is read: who is refused costs next to nothing.
        match limits::admit(&self.state, &mut request).await {
            Ok(left) => (answer(&self.routes, request, id).await, left),
            Err(problem) => (Problem::respond(&problem.into(), id), None),
        }
    }
}

async fn answer(
    routes: &impl Endpoint<Output = Response>,
    mut request: Request,
    id: &str,
) -> Response {
    if let Err(problem) = read_body(&mut request).await {
        return Problem::respond(&problem.into(), id);
    }
    request.set_data(RequestId(id.to_owned()));
    match routes.call(request).await {
        Ok(response) if response.extensions().get::<Panicked>().is_some() => {
            Problem::respond(&Problem::internal().into(), id)
        }
        Ok(response) => response,
        Err(error) => {
            let mut response = Problem::respond(&error, id);
            if let Some(operation) = error.data::<OperationId>() {
                response.set_data(*operation);
            }
            response
        }
    }
}

/// Reads the body whole, within the limit and the time: every body of ours is small JSON.
async fn read_body(request: &mut Request) -> Result<(), Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(Problem::too_large());
    }
    let body = request.take_body();
    if request.method() == Method::GET && body.is_empty() {
        // Nothing to read and nobody to read it.
        return Ok(());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, body.into_bytes_limit(MAX_BODY)).await;
    match read {
        Ok(Ok(bytes)) => {
            // An empty body cannot be of the wrong type: optional bodies may be left out whole.
            if bytes.is_empty() {
                let json = HeaderValue::from_static("application/json");
                request.headers_mut().insert(header::CONTENT_TYPE, json);
            }
            request.set_body(Body::from(bytes));
            Ok(())
        }
        Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => Err(Problem::too_large()),
        Ok(Err(error)) => Err(Problem::field("body", error)),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("body: must arrive within {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// The caller's id when it is a sane one, else ours.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| (1..=64).contains(&id.len()))
        .filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c)))
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Whether a caller may ask to wait with this: a plain GET answers at once.
fn may_wait(request: &Request) -> bool {
    let plain = request.method() == Method::GET && request.uri().query().is_none();
    !plain || request.headers().contains_key(PREFER)
}

/// What is asked for at a path when the answer does not say so: most of these the service never
/// sees, or refuses before it has looked.
fn operation(path: &str) -> &'static str {
    match path {
        "/openapi.json" => "/docs",
        path if path.starts_with("/docs") => "/docs",
        path if path.starts_with("/cdn/") => "/cdn/{key}",
        path if export_file::download_id(path).is_some() => "/api/export/{job_id}/file",
        path => match path.strip_prefix("/api/profile/") {
            Some(name) if !name.contains('/') => "/api/profile/{username}",
            _ => "none",
        },
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn allowed_origin(headers: &HeaderMap, cors: &Cors) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    cors.origins
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes())
        .then(|| origin.clone())
}

/// Other origins get no headers: the browser keeps the answer from them. No credentials.
fn cors_headers(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let mut told = |name, value| headers.insert(name, HeaderValue::from_static(value));
    told(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS");
    told(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, Accept, \
         Last-Event-ID, X-Request-Id",
    );
    told(header::ACCESS_CONTROL_MAX_AGE, "600");
    told(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Marks the answer of a handler that panicked, so that it gets the request's id.
#[derive(Clone, Copy, Debug)]
struct Panicked;

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    let mut response = Problem::internal().into_response();
    response.extensions_mut().insert(Panicked);
    response
}
