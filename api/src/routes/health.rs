//! Probes for whoever runs the process.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use tokio::time::timeout;

use crate::routes::Tag;
use crate::state::AppState;

/// Longest wait for what is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Probes.
#[derive(Debug)]
pub struct Health;

/// How it is.
#[derive(Debug, Object)]
pub struct Probe {
    /// `ok` or `unavailable`.
    status: String,
    /// What is missing, in words.
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
    /// Asks the database and the tickets, both at once, for at most a second.
    #[oai(path = "/readyz", method = "get", tag = "Tag::Health", operation_id = "readyz")]
    async fn readyz(&self, state: Data<&AppState>) -> Ready {
        let (database, tickets) = tokio::join!(database(&state), tickets(&state));
        let missing: Vec<String> =
            [database, tickets].into_iter().filter_map(Result::err).collect();
        if missing.is_empty() {
            return Ready::Ok(Json(Probe { status: "ok".to_owned(), reason: None }));
        }
        let reason = Some(missing.join("; "));
        Ready::Unavailable(Json(Probe { status: "unavailable".to_owned(), reason }))
    }
}

async fn database(state: &AppState) -> Result<(), String> {
    match timeout(PATIENCE, state.exact_now()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            // Its words are for the log: they quote statements and addresses.
            tracing::warn!(%error, "not ready");
            Err("the database refuses".to_owned())
        }
        Err(_) => Err("the database does not answer".to_owned()),
    }
}

async fn tickets(state: &AppState) -> Result<(), String> {
    let asked = timeout(PATIENCE, state.tickets()).await;
    asked.unwrap_or_else(|_| Err("the tickets do not answer".to_owned()))
}
