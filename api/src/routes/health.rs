//! Probes for whoever runs the process, and how the farm is.

use std::time::Duration;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use tokio::time::timeout;

use crate::health::Judgement;
use crate::routes::Tag;
use crate::state::AppState;
use crate::traffic::Minute;
use crate::trusted::sample::{self, Look};

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

/// How a part is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum Grade {
    /// As it should be: 100 points.
    Healthy,
    /// Not there, and not missed: as good.
    Off,
    /// It works, and not as it should: 60 points.
    Degraded,
    /// It does not work, or nothing is known of it: 20 points.
    #[default]
    Unhealthy,
}

impl Grade {
    /// What it counts.
    pub(crate) fn points(self) -> f64 {
        match self {
            Self::Healthy | Self::Off => 100.0,
            Self::Degraded => 60.0,
            Self::Unhealthy => 20.0,
        }
    }
}

/// A part of the farm.
#[derive(Clone, Debug, Default, PartialEq, Object)]
pub(crate) struct Component {
    /// How it is.
    pub(crate) status: Grade,
    /// Why it is not healthy.
    pub(crate) message: Option<String>,
}

impl Component {
    pub(crate) fn good() -> Self {
        Self { status: Grade::Healthy, message: None }
    }

    pub(crate) fn off(why: &str) -> Self {
        Self { status: Grade::Off, message: Some(why.to_owned()) }
    }

    pub(crate) fn poor(why: impl Into<String>) -> Self {
        Self { status: Grade::Degraded, message: Some(why.into()) }
    }

    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self { status: Grade::Unhealthy, message: Some(why.into()) }
    }
}

/// The models that analyse captions.
#[derive(Clone, Debug, Default, PartialEq, Object)]
pub(crate) struct ModelsHealth {
    /// How they are.
    #[oai(flatten)]
    pub(crate) component: Component,
    /// The best tier that a worker has the means for: rules, lite, full.
    pub(crate) wanted: Option<String>,
    /// The best tier that answers.
    pub(crate) serving: Option<String>,
    /// Workers that analyse.
    pub(crate) workers: i64,
}

/// The parts of the farm.
#[derive(Clone, Debug, PartialEq, Object)]
pub(crate) struct Components {
    /// The rows. Counts 20 %.
    pub(crate) database: Component,
    /// The tickets, in Redis or in memory. Counts 15 %.
    pub(crate) redis: Component,
    /// Whether jobs start in time: within 1 minute (fetch), 10 (ai, media), 5 (export, upkeep).
    /// Counts 10 %.
    pub(crate) queues: Component,
    /// Whether somebody works. Counts 20 %.
    pub(crate) workers: Component,
    /// Who analyses captions. Counts 15 %.
    pub(crate) models: ModelsHealth,
    /// Whether answers are second best: posts of the last hour that a tier below the wanted one
    /// analysed. Counts 10 %.
    pub(crate) fallback: Component,
    /// Where profiles come from, as the workers' circuits have it. Counts 10 %.
    pub(crate) provider: Component,
    /// Where files lie.
    pub(crate) storage: Component,
    /// The machine that answers.
    pub(crate) system: Component,
}

impl Components {
    /// Each with its name.
    pub(crate) fn named(&self) -> [(&'static str, &Component); 9] {
        [
            ("database", &self.database),
            ("redis", &self.redis),
            ("queues", &self.queues),
            ("workers", &self.workers),
            ("models", &self.models.component),
            ("fallback", &self.fallback),
            ("provider", &self.provider),
            ("storage", &self.storage),
            ("system", &self.system),
        ]
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Somebody should look at it.
    Warning,
    /// Users feel it.
    Critical,
}

/// What calls for somebody.
#[derive(Clone, Debug, PartialEq, Object)]
pub(crate) struct AlertView {
    /// What it is, as a word: the same as long as it stays.
    pub(crate) code: String,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// Which part it is about.
    pub(crate) component: String,
    /// What it is, as a sentence.
    pub(crate) message: String,
    /// When it was raised; RFC 3339.
    pub(crate) since: String,
}

/// What this process answered within the last minute. Waits that callers asked for are left out.
#[derive(Clone, Debug, Object)]
pub(crate) struct Performance {
    /// Answers.
    requests: i64,
    /// Answers a second.
    requests_per_second: f64,
    /// Their mean time, in milliseconds; null of none, as all that follow.
    mean_ms: Option<f64>,
    /// Half of them took at most so long; within 1 %.
    p50_ms: Option<f64>,
    /// 95 of 100.
    p95_ms: Option<f64>,
    /// 99 of 100.
    p99_ms: Option<f64>,
    /// Of them, those with a status of 500 and above, 0 to 1.
    error_rate: Option<f64>,
}

impl Performance {
    pub(super) fn of(minute: &Minute) -> Self {
        let ms = |seconds: Option<f64>| seconds.map(|seconds| rounded(1_000.0 * seconds, 2));
        Self {
            requests: minute.answers as i64,
            requests_per_second: rounded(minute.per_second, 2),
            mean_ms: ms(minute.mean),
            p50_ms: ms(minute.p50),
            p95_ms: ms(minute.p95),
            p99_ms: ms(minute.p99),
            error_rate: minute.error_rate().map(|rate| rounded(rate, 4)),
        }
    }
}

/// A figure with so many digits after its point.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// How the farm is.
#[derive(Clone, Debug, Object)]
struct HealthView {
    /// `healthy` from a score of 90, `degraded` from 70, else `unhealthy`.
    status: Grade,
    /// 0 to 100: the weighed mean of its parts.
    score: f64,
    /// Version of the program.
    version: String,
    /// When it was looked at; RFC 3339. At most some seconds ago.
    timestamp: String,
    /// The parts.
    components: Components,
    /// What calls for somebody now.
    alerts: Vec<AlertView>,
    /// What this process answered lately.
    performance: Performance,
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

    /// How is the farm?
    ///
    /// Looked at every 5 s, in the background: the answer waits for nobody, and always comes with
    /// 200. Whether this process can serve is asked at `/readyz`.
    #[oai(path = "/api/health", method = "get", tag = "Tag::Health", operation_id = "get_health")]
    async fn health(&self, state: Data<&AppState>) -> Json<HealthView> {
        Json(HealthView::of(sample::newest(&state).await.as_ref()))
    }

    /// How is the farm?
    ///
    /// The same as `/api/health`.
    #[oai(
        path = "/health",
        method = "get",
        tag = "Tag::Health",
        operation_id = "get_health_at_root"
    )]
    async fn health_at_root(&self, state: Data<&AppState>) -> Json<HealthView> {
        Json(HealthView::of(sample::newest(&state).await.as_ref()))
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

impl HealthView {
    fn of(look: &Look) -> Self {
        let Judgement { score, components, alerts } = look.judgement.clone();
        let status = match score {
            90.0.. => Grade::Healthy,
            70.0.. => Grade::Degraded,
            _ => Grade::Unhealthy,
        };
        Self {
            status,
            score: rounded(score, 1),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            timestamp: look.sample.at.rfc3339(),
            components,
            alerts,
            performance: Performance::of(&look.sample.minute),
        }
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
