//! Failed jobs, for operators: what went wrong how often, and queueing it again.

use entity::Time;
use entity::job::dead::{After, Filter};
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::body::JsonBody;
use crate::idempotency::{self, Known};
use crate::identity::Operator;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::trusted::dead::take;
pub use crate::trusted::dead::{page, run, would};

/// Failed jobs.
#[derive(Debug)]
pub struct Dead;

/// Ids shown of a group, and of what a redrive would do.
pub(crate) const SAMPLES: u64 = 5;
/// Jobs queued again by one request, unless told otherwise.
pub const DEFAULT_REDRIVE: u64 = 100;
/// Jobs queued again by one request, at most.
pub const MAX_REDRIVE: u64 = 1_000;
/// Jobs due per second, unless told otherwise.
pub const DEFAULT_RATE: u32 = 10;

/// Failed jobs of one kind and one reason.
#[derive(Debug, Object)]
pub struct DeadGroup {
    /// What failed.
    pub kind: String,
    /// The reason: the code, and the sentence without what differs from job to job.
    pub fingerprint: String,
    /// The reason as a word.
    pub error_code: Option<String>,
    /// Jobs of this kind cost the farm several workers each.
    pub poison: bool,
    /// How many jobs.
    pub count: i64,
    /// When the newest failed; RFC 3339.
    pub newest_at: String,
    /// When the oldest failed; RFC 3339.
    pub oldest_at: String,
    /// The sentence of the newest.
    pub sample_message: Option<String>,
    /// The newest, at most five.
    pub sample_ids: Vec<Uuid>,
}

/// A page of failed jobs.
#[derive(Debug, Object)]
pub struct DeadPage {
    /// What failed last first.
    pub items: Vec<DeadGroup>,
    /// `cursor` of the next page; null at the end.
    pub next: Option<String>,
}

/// Which failed jobs to queue again, and how fast.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct RedriveRequest {
    /// Only this kind.
    kind: Option<String>,
    /// Only this reason, as `GET /api/v1/jobs/dead` shows it.
    fingerprint: Option<String>,
    /// Only this reason, as a word.
    error_code: Option<String>,
    /// Only jobs that failed at or after this time (RFC 3339).
    since: Option<String>,
    /// Only jobs that failed before this time (RFC 3339).
    until: Option<String>,
    /// Only these.
    #[oai(validator(max_items = 1000))]
    ids: Option<Vec<Uuid>>,
    /// So many of them are due in each second, 1 to 1,000 (default 10).
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    rate_per_second: Option<u32>,
    /// At most so many, those that failed first; 1 to 1,000 (default 100).
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    limit: Option<u64>,
    /// Only say what would happen (the default). `false` needs at least one filter.
    dry_run: Option<bool>,
}

/// What was done, or would be.
#[derive(Debug, Object)]
pub struct RedriveReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// Failed jobs the filters found: those within the limit, and all that are superseded.
    pub matched: u64,
    /// There are more beyond the limit: ask again.
    pub more: bool,
    /// Queued again.
    pub queued: u64,
    /// Left as they are, because an open job does the same work, or one that failed later would.
    pub skipped_superseded: u64,
    /// Left as they are, because they were no longer failed when their turn came.
    pub skipped_changed: u64,
    /// Left as they are, because those who wait for them cannot pay.
    pub skipped_unpaid: u64,
    /// So many are due in each second.
    pub rate_per_second: u32,
    /// When the last of them is due, counted from the first.
    pub spread_ms: i64,
    /// The first of those that are queued, at most five.
    pub sample_ids: Vec<Uuid>,
}

#[OpenApi(prefix_path = "/api/v1/jobs/dead", tag = "Tag::Operators")]
impl Dead {
    /// Failed jobs
    ///
    /// Grouped by kind and reason, what failed last first.
    #[oai(path = "/", method = "get", operation_id = "list_dead_jobs")]
    async fn list(
        &self,
        state: Data<&AppState>,
        _operator: Operator,
        /// Only this kind.
        kind: Query<Option<String>>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<Json<DeadPage>, Problem> {
        let limit = rules::limit(limit.0, 20)?;
        let kind = kind.0.as_deref().map(rules::kind).transpose()?;
        let after = cursor.0.as_deref().map(parse_cursor).transpose()?;
        Ok(Json(page(&state, kind.as_deref(), after.as_ref(), limit).await?))
    }

    /// Queue failed jobs again
    ///
    /// Each under its own id, for those who asked for it, with its attempts back and an event that
    /// names the operator. Without `dry_run: false` it only says what would happen. A job whose
    /// work another open job does is skipped and counted.
    #[oai(path = "/redrive", method = "post", operation_id = "redrive_dead_jobs")]
    async fn redrive(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        request: &Request,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<RedriveRequest>,
    ) -> Result<Json<RedriveReport>, Problem> {
        let wanted = body.0;
        let what = ["POST", "redrive", &wanted.to_json_string()];
        let key = idempotency::key(request.headers(), operator.0.user.id, &what)?;
        let redrive = redrive(&wanted)?;
        if wanted.dry_run.unwrap_or(true) {
            return Ok(Json(would(&state, &redrive).await?));
        }
        if !redrive.narrows() {
            let rule =
                "false needs at least one of kind, fingerprint, error_code, since, until, ids";
            return Err(Problem::body("dry_run", rule));
        }
        if let Some(key) = &key
            && let Known::Answer(_, report) = take(&state, key).await?
        {
            return Ok(Json(*report));
        }
        let report = run(&state, &redrive, &operator.0.user.email).await?;
        let operator = operator.0.user.id;
        tracing::info!(%operator, jobs = report.queued, "failed jobs queued again");
        if let Some(key) = &key {
            key.answered(&state, 200, &report).await?;
        }
        Ok(Json(report))
    }
}

/// The wish of a request, its words checked.
fn redrive(wanted: &RedriveRequest) -> Result<Redrive, Problem> {
    let text = |field: &str, text: &Option<String>| {
        text.as_deref().map(|text| rules::line(field, text, 200)).transpose()
    };
    let time = |field: &str, text: &Option<String>| {
        text.as_deref().map(|text| rules::time(field, text)).transpose()
    };
    let filter = Filter {
        kind: wanted.kind.as_deref().map(rules::kind).transpose()?,
        fingerprint: text("fingerprint", &wanted.fingerprint)?,
        error_code: text("error_code", &wanted.error_code)?,
        since: time("since", &wanted.since)?,
        until: time("until", &wanted.until)?,
        ids: wanted.ids.clone(),
    };
    Ok(Redrive {
        filter,
        rate_per_second: wanted.rate_per_second.unwrap_or(DEFAULT_RATE),
        limit: wanted.limit.unwrap_or(DEFAULT_REDRIVE).min(MAX_REDRIVE),
    })
}

/// Which failed jobs to queue again, and how fast.
#[derive(Clone, Debug)]
pub struct Redrive {
    /// Which.
    pub filter: Filter,
    /// So many of them are due in each second.
    pub rate_per_second: u32,
    /// At most so many, those that failed first.
    pub limit: u64,
}

impl Redrive {
    /// Whether the filter leaves anything out: everything at once is nothing one should do without
    /// saying so.
    pub fn narrows(&self) -> bool {
        let Filter { kind, fingerprint, error_code, since, until, ids } = &self.filter;
        kind.is_some()
            || fingerprint.is_some()
            || error_code.is_some()
            || since.is_some()
            || until.is_some()
            || ids.is_some()
    }
}

fn parse_cursor(text: &str) -> Result<After, Problem> {
    let mut parts = text.splitn(3, '.');
    let mut part = || parts.next().filter(|part| !part.contains(char::is_control));
    let after = (|| {
        let newest = part()?.parse().ok().filter(|ms| (0..1 << 50).contains(ms))?;
        let (kind, fingerprint) = (part()?.to_owned(), part()?.to_owned());
        Some(After { newest: Time(newest), kind, fingerprint })
    })();
    after.ok_or_else(|| Problem::field("cursor", "must be the next value of the page before"))
}
