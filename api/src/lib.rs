//! The front door: authenticates, checks access, reads what is stored, enqueues work.
//!
//! It never calls the provider, runs a model, decodes an image or writes an export inside a
//! request. Start reading at [`app`]; a resource is one file in `routes/`.

mod body;
mod document;
pub mod files;
pub mod front;
mod gate;
mod gotrue;
mod health;
pub mod limits;
mod machine;
pub mod password;
pub mod problem;
pub mod process;
pub mod query;
mod recent;
mod rendered;
pub mod routes;
mod server;
pub mod settings;
mod shelf;
mod traffic;
mod trusted;
pub mod view;

use poem::middleware::SetHeader;
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route};
use poem_openapi::OpenApiService;

pub use files::Files;
pub use identity::{Caller, Identity, Issuer, Operator, Supabase};
pub use limits::{Limits, Proxies};
pub use problem::Problem;
pub use state::{AppState, Cors};
pub use trusted::{idempotency, identity, state};

type Service = OpenApiService<
    (
        (routes::auth::Auth, routes::account::Account),
        routes::jobs::JobRoutes,
        routes::events::Events,
        routes::profiles::Profiles,
        routes::analytics::Analytics,
        routes::ai::Ai,
        routes::post_analytics::PostAnalytics,
        (routes::media::Media, routes::cdn::Cdn, routes::exports::Exports),
        (
            routes::credits::Credits,
            routes::prices::Prices,
            routes::top_up::TopUp,
            routes::unlocks::Unlocks,
            routes::credits_admin::CreditsAdmin,
        ),
        routes::queues::Queues,
        routes::workers::Workers,
        routes::dead::Dead,
        (routes::health::Health, routes::metrics::Metrics),
    ),
    (),
>;

fn service() -> Service {
    OpenApiService::new(
        (
            (routes::auth::Auth, routes::account::Account),
            routes::jobs::JobRoutes,
            routes::events::Events,
            routes::profiles::Profiles,
            routes::analytics::Analytics,
            routes::ai::Ai,
            routes::post_analytics::PostAnalytics,
            (routes::media::Media, routes::cdn::Cdn, routes::exports::Exports),
            (
                routes::credits::Credits,
                routes::prices::Prices,
                routes::top_up::TopUp,
                routes::unlocks::Unlocks,
                routes::credits_admin::CreditsAdmin,
            ),
            routes::queues::Queues,
            routes::workers::Workers,
            routes::dead::Dead,
            (routes::health::Health, routes::metrics::Metrics),
        ),
        "farm",
        env!("CARGO_PKG_VERSION"),
    )
    .description("Creator analytics: every POST that starts work answers with a job to follow.")
}

/// The OpenAPI document, as committed in `api/openapi.json`.
pub fn openapi() -> String {
    document::complete(&service().spec())
}

/// The whole application.
pub fn app(state: AppState) -> impl Endpoint<Output = Response> + 'static {
    let service = service();
    let document = openapi();
    let methods = document::Methods::of(&document);
    let paths = document::paths(&document);
    // The page is embedded whole; the policy makes sure that nothing else is ever loaded.
    let policy = "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                  img-src 'self' data:";
    let docs =
        service.swagger_ui().with(SetHeader::new().overriding("content-security-policy", policy));
    let pages = Route::new().nest("/docs", docs).at("/openapi.json", openapi_endpoint(document));
    let service = service.into_endpoint().data(state.clone());
    front::front(Routes { pages, service, state: state.clone() }, state, methods, paths)
}

/// The service itself, and the pages about it. Looking a path up in one table after the other
/// would cost every request as much again.
struct Routes<S> {
    pages: Route,
    service: S,
    state: AppState,
}

impl<S: Endpoint<Output = Response>> Endpoint for Routes<S> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.uri().path();
        if path == "/openapi.json" || path.starts_with("/docs") {
            return self.pages.call(request).await;
        }
        if path.starts_with("/cdn/") {
            return files::cdn(&self.state, &request).await.map_err(Into::into);
        }
        if routes::export_file::download_id(path).is_some() {
            let file = routes::export_file::download(&self.state, &request).await;
            return file.map_err(Into::into);
        }
        match routes::profiles::plain(&self.state, &request).await {
            Some(answer) => answer,
            None => self.service.call(request).await,
        }
    }
}

fn openapi_endpoint(document: String) -> impl Endpoint<Output = Response> + 'static {
    poem::endpoint::make_sync(move |request| -> poem::Result<Response> {
        if request.method() == poem::http::Method::GET {
            Ok(Response::builder().content_type("application/json").body(document.clone()))
        } else {
            Err(Problem::method_not_allowed().into())
        }
    })
}
