//! The HTTP side: routes, the scrape request, pictures.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use poem::{
    Body, EndpointExt, IntoEndpoint, Request, Response, Route, get, handler,
    http::{HeaderName, HeaderValue, StatusCode, header},
    post,
    web::{Data, Path, headers::HeaderMapExt},
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    answers::{Question, Reply, Target, unauthorized},
    connection::Switchboard,
    dice::Dice,
    handle::{self, Conduct},
    picture::{self, PictureName},
    posts::EXPIRED_KIND,
    recorded::Recordings,
    script::{Call, Logbook, Scripted},
};

/// The largest request body.
const MAX_REQUEST: usize = 64 * 1024;

/// How long a handle that fails in turn takes to come round: two failures and a success.
const TURNS: u32 = 3;

/// Pictures drawn at one time; each may need 12 MiB.
const DRAWN_AT_ONCE: usize = 4;

/// What all requests share.
pub struct Shared {
    /// Calls and scripts.
    pub log: Logbook,
    /// Recorded answers, if a folder was named.
    pub recorded: Option<Recordings>,
    /// Waited before every answer to a scrape.
    pub latency: Duration,
    /// Waited by `demo_slow`.
    pub slow: Duration,
    /// The address put into picture links when the request names none.
    pub base_url: String,
    /// The open connections.
    pub board: Switchboard,
    /// Ends waiting and hanging answers.
    pub shutdown: CancellationToken,
    /// Permits for drawing.
    pub easels: Semaphore,
}

impl Shared {
    /// Permits for as many pictures as may be drawn at once.
    pub fn easels() -> Semaphore {
        Semaphore::new(DRAWN_AT_ONCE)
    }
}

/// Every route.
pub fn routes(shared: Arc<Shared>) -> impl IntoEndpoint<Endpoint: 'static> {
    Route::new()
        .at("/v2/scrape", post(scrape))
        .at("/images/:kind/:file", get(image))
        .at("/health", get(health))
        .data(shared)
}

#[handler]
fn health() -> Response {
    response(Reply::json(200, &serde_json::json!({ "status": "ok" })))
}

/// The body of a scrape request.
#[derive(Debug, Default, Deserialize)]
struct ScrapeRequest {
    target: Option<String>,
    query: Option<String>,
    render_js: Option<bool>,
    geo_location: Option<String>,
}

#[handler]
async fn scrape(request: &Request, body: Body, shared: Data<&Arc<Shared>>) -> Response {
    let body = body.into_bytes_limit(MAX_REQUEST).await;
    let parsed = match &body {
        Ok(bytes) => serde_json::from_slice::<ScrapeRequest>(bytes).ok(),
        Err(_) => None,
    };
    let number = shared.log.arrived(call(parsed.as_ref()));
    let reply = tokio::select! {
        reply = async {
            match understood(request, body.is_ok(), parsed.as_ref()) {
                Ok((handle, target)) => {
                    let base = base_url(request, &shared);
                    let question = Question { handle: &handle, target, base: &base };
                    tokio::time::sleep(shared.latency).await;
                    answer(&shared, question).await
                }
                Err(refusal) => refusal,
            }
        } => reply,
        () = shared.shutdown.cancelled() => Reply::Cut,
    };
    shared.log.answered(number, reply.status());
    let board = shared.board.clone();
    let peer = request.remote_addr().as_socket_addr().copied();
    sent(reply, move || {
        if let Some(peer) = peer {
            board.cut(peer);
        }
    })
}

/// The line in the log. An invalid query is kept short: the log must not grow by what strangers send.
fn call(parsed: Option<&ScrapeRequest>) -> Call {
    let query = parsed.and_then(|parsed| parsed.query.as_deref()).unwrap_or_default();
    let handle = handle::valid(query).unwrap_or_else(|| query.chars().take(40).collect());
    let target = parsed.and_then(|parsed| parsed.target.as_deref()).unwrap_or_default();
    Call {
        at: std::time::Instant::now(),
        handle,
        target: target.chars().take(40).collect(),
        render_js: parsed.and_then(|parsed| parsed.render_js).unwrap_or(false),
        geo_location: parsed.and_then(|parsed| parsed.geo_location.clone()),
        status: 0,
    }
}

/// Checks a request in the order the vendor does; `Err` is the refusal.
fn understood(
    request: &Request,
    fits: bool,
    parsed: Option<&ScrapeRequest>,
) -> Result<(String, Target), Reply> {
    if !authorized(request) {
        return Err(unauthorized());
    }
    if !fits {
        return Err(Reply::failed(413, "The request body is larger than 64 KiB."));
    }
    let json = request.content_type().is_some_and(|kind| kind.starts_with("application/json"));
    if !json {
        return Err(Reply::failed(415, "The content type must be application/json."));
    }
    let parsed = parsed.ok_or_else(|| Reply::failed(400, "The request body is not valid."))?;
    let target = parsed.target.as_deref().and_then(Target::named);
    let target = target.ok_or_else(|| Reply::failed(400, "This target is not known."))?;
    let query = parsed.query.as_deref().filter(|query| !query.is_empty());
    let query = query.ok_or_else(|| Reply::failed(400, "The query is missing."))?;
    let handle = handle::valid(query);
    handle.map(|handle| (handle, target)).ok_or_else(|| Reply::failed(400, "Not a valid handle."))
}

/// Any user and password will do, as long as both are there.
fn authorized(request: &Request) -> bool {
    use poem::web::headers::{Authorization, authorization::Basic};
    request
        .headers()
        .typed_get::<Authorization<Basic>>()
        .is_some_and(|given| !given.username().is_empty() && !given.password().is_empty())
}

/// Where the client reached us, so that the pictures can be reached the same way (from another
/// container, say); our own address when the `Host` header is no plain host.
fn base_url(request: &Request, shared: &Shared) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    request
        .header(header::HOST)
        .filter(|host| !host.is_empty() && host.len() <= 255 && host.bytes().all(plain))
        .map_or_else(|| shared.base_url.clone(), |host| format!("http://{host}"))
}

async fn answer(shared: &Shared, question: Question<'_>) -> Reply {
    let mut scripted = shared.log.next(question.handle);
    loop {
        match scripted {
            Some(Scripted::Delay(time, inner)) => {
                tokio::time::sleep(time).await;
                scripted = Some(*inner);
            }
            Some(Scripted::Http { status, body, headers }) => {
                return Reply::Whole { status, headers, body: body.into_bytes() };
            }
            Some(Scripted::Hang) => std::future::pending().await,
            Some(Scripted::Drop) => return Reply::Cut,
            Some(Scripted::Profile) => {
                let recorded = recorded(shared, &question).await;
                return recorded.unwrap_or_else(|| Reply::json(200, &question.profile()));
            }
            None => return unscripted(shared, question).await,
        }
    }
}

async fn recorded(shared: &Shared, question: &Question<'_>) -> Option<Reply> {
    match &shared.recorded {
        Some(recordings) => recordings.answer(question).await,
        None => None,
    }
}

async fn unscripted(shared: &Shared, question: Question<'_>) -> Reply {
    if let Some(reply) = recorded(shared, &question).await {
        return reply;
    }
    let turn = match Conduct::of(question.handle) {
        Conduct::Slow => {
            tokio::time::sleep(shared.slow).await;
            0
        }
        Conduct::Flaky | Conduct::Limited => shared.log.turn(question.handle, TURNS),
        _ => 0,
    };
    question.answer(turn)
}

#[handler]
async fn image(
    request: &Request,
    Path((kind, file)): Path<(String, String)>,
    shared: Data<&Arc<Shared>>,
) -> Response {
    if kind == EXPIRED_KIND || file.contains(EXPIRED_KIND) {
        return response(Reply::failed(403, "The signature of this address has expired."));
    }
    let Some(name) = PictureName::parse(&kind, &file) else {
        return response(Reply::failed(400, "Not the address of a picture."));
    };
    let tag = format!("\"{:016x}\"", Dice::of(&["etag", &kind, &file]).bits());
    let known = request.header(header::IF_NONE_MATCH) == Some(tag.as_str());
    let builder = Response::builder()
        .header(header::ETAG, &tag)
        .header(header::CACHE_CONTROL, "public, max-age=604800, immutable");
    if known {
        return builder.status(StatusCode::NOT_MODIFIED).finish();
    }
    let Ok(_easel) = shared.easels.acquire().await else {
        return response(Reply::failed(503, "The provider is stopping."));
    };
    match tokio::task::spawn_blocking(move || picture::draw(&name)).await {
        Ok(Ok(jpeg)) => builder.content_type("image/jpeg").body(jpeg),
        Ok(Err(error)) => drawing_failed(&error),
        Err(error) => drawing_failed(&error),
    }
}

fn drawing_failed(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "a demo picture could not be drawn");
    response(Reply::failed(500, "The picture could not be drawn."))
}

fn response(reply: Reply) -> Response {
    sent(reply, || ())
}

/// The reply as HTTP; `hang_up` is called where the connection has to break.
fn sent(reply: Reply, hang_up: impl FnOnce() + Send + 'static) -> Response {
    let json = Response::builder().content_type("application/json");
    match reply {
        Reply::Whole { status, headers, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = json.status(status).body(body);
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) =
                    (HeaderName::try_from(name), HeaderValue::try_from(value))
                {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Reply::Streamed { head, filling, times, tail } => {
            let middle = stream::iter((0..times).map(move |_| filling.clone()));
            let body = stream::iter([head]).chain(middle).chain(stream::iter([tail]));
            json.body(Body::from_bytes_stream(body.map(Ok::<_, std::io::Error>)))
        }
        Reply::BrokenOff(bytes) => {
            let broken = stream::once(async {
                // The first half must be on its way before the line breaks. An error alone would
                // not do: the server would still end the body properly.
                tokio::time::sleep(Duration::from_millis(20)).await;
                hang_up();
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
            });
            let body = stream::iter([Ok(bytes)]).chain(broken);
            json.body(Body::from_bytes_stream(body))
        }
        Reply::Cut => {
            hang_up();
            // Never seen: the connection lets nothing out any more.
            Response::default()
        }
    }
}
