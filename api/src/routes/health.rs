//! Probes for whoever runs the process.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::routes::Tag;
use crate::state::AppState;

/// Probes.
#[derive(Debug)]
pub struct Health;

/// How it is.
#[derive(Debug, Object)]
pub struct Probe {
    /// `ok` or `unavailable`.
    status: String,
    /// What is not, in words.
    reason: Option<String>,
}

#[derive(ApiResponse)]
enum Ready {
    /// Requests can be served.
    #[oai(status = 200)]
    Ok(Json<Probe>),
    /// They cannot, for the reason given.
    #[oai(status = 503)]
    Unavailable(Json<Probe>),
}

#[OpenApi]
impl Health {
    /// Is the process alive?
    ///
    /// Looks at nothing outside it.
    #[oai(path = "/livez", method = "get", tag = "Tag::Health", operation_id = "livez")]
    async fn livez(&self) -> Json<Probe> {
        Json(Probe { status: "ok".to_owned(), reason: None })
    }

    /// Can it serve requests?
    ///
    /// Asks the database, for at most a second.
    #[oai(path = "/readyz", method = "get", tag = "Tag::Health", operation_id = "readyz")]
    async fn readyz(&self, state: Data<&AppState>) -> Ready {
        let asked =
            tokio::time::timeout(Duration::from_secs(1), entity::clock::now(state.db().read()));
        let reason = match asked.await {
            Ok(Ok(_)) => return Ready::Ok(Json(Probe { status: "ok".to_owned(), reason: None })),
            Ok(Err(error)) => {
                tracing::warn!(%error, "not ready");
                "the database refuses"
            }
            Err(_) => "the database does not answer",
        };
        let reason = Some(reason.to_owned());
        Ready::Unavailable(Json(Probe { status: "unavailable".to_owned(), reason }))
    }
}
