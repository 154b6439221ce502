//! An export's file: what is known of it, and the way it is fetched.

use entity::Time;
use entity::export::{self, Export as File};
use entity::job::query::{Seen, Viewer};
use jobs::Kind;
use poem::http::{Method, StatusCode, header};
use poem::{Request, Response};
use poem_openapi::Object;
use serde_json::Value;
use uuid::Uuid;

use super::follow;
use crate::files::{self, Source};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;
use crate::view::{self, ErrorView, ProgressView};

/// An export.
#[derive(Debug, Object)]
pub(super) struct ExportView {
    pub(super) job_id: Uuid,
    /// queued, running, retrying, succeeded, failed, cancelled; `expired` once its time is over.
    pub(super) status: String,
    /// In rows; null when its job is not kept any more.
    pub(super) progress: Option<ProgressView>,
    pub(super) format: Option<String>,
    /// In the file, headings not counted.
    pub(super) rows: Option<i64>,
    /// Creators in the file.
    pub(super) profiles: Option<i64>,
    pub(super) size_bytes: Option<i64>,
    /// Of the file; hex.
    pub(super) sha256: Option<String>,
    /// Whoever has it may download the file, until it expires. `Range` is understood.
    pub(super) download_url: Option<String>,
    pub(super) download_count: Option<i64>,
    /// RFC 3339.
    pub(super) created_at: Option<String>,
    /// RFC 3339.
    pub(super) expires_at: Option<String>,
    pub(super) error: Option<ErrorView>,
}

/// What is known of an export: its job, its file, or both.
pub(super) struct Found {
    id: Uuid,
    seen: Option<Seen>,
    file: Option<File>,
}

impl Found {
    pub(super) async fn of(state: &AppState, caller: &Caller, id: Uuid) -> Result<Self, Problem> {
        let scope = state.scope(&caller.0);
        // Their own alone, operators' too.
        let viewer = Viewer::User(caller.id());
        let seen = follow::seen(&scope, viewer, &[id]).await?.pop();
        let seen = seen.filter(|seen| Kind::parse(&seen.job.kind) == Some(Kind::Export));
        let mine = |file: &File| file.user_id == caller.id();
        let file = export::by_job(scope.read(), id).await?.filter(mine);
        if seen.is_none() && file.is_none() {
            return Err(Problem::not_found(
                "export_not_found",
                format!("no export {id} among yours"),
            )
            .with("field", "job_id"));
        }
        Ok(Self { id, seen, file })
    }

    pub(super) async fn view(self, state: &AppState) -> Result<ExportView, Problem> {
        let job = match &self.seen {
            Some(seen) => Some(view::job_view(state, seen).await?),
            None => None,
        };
        let now = state.now().await?;
        let file = self.file.as_ref();
        let there = file.filter(|file| is_there(file, now));
        let status = match (&job, file, there) {
            (_, Some(_), None) => "expired".to_owned(),
            (_, Some(_), Some(_)) => "succeeded".to_owned(),
            (Some(job), ..) => entity::enums::JobState::from(job.state).to_string(),
            (None, ..) => "expired".to_owned(),
        };
        let download_url = there
            .map(|file| {
                let token = state.identity.links().sign_download(file.job_id, file.expires_at);
                token.map(|token| format!("/api/export/{}/file?link={token}", file.job_id))
            })
            .transpose()
            .map_err(|_| Problem::internal())?;
        let asked = self.seen.as_ref().and_then(|seen| {
            seen.job.payload.get("format").and_then(Value::as_str).map(str::to_owned)
        });
        Ok(ExportView {
            job_id: self.id,
            status,
            format: file.map(|file| file.format.to_string()).or(asked),
            rows: file.map(|file| file.rows_written),
            profiles: file.map(|file| i64::from(file.profiles)),
            size_bytes: file.map(|file| file.size_bytes),
            sha256: file.map(|file| file.sha256.clone()),
            download_url,
            download_count: file.map(|file| i64::from(file.download_count)),
            created_at: file.map(|file| file.created_at.rfc3339()),
            expires_at: file.map(|file| file.expires_at.rfc3339()),
            error: job.as_ref().and_then(|job| job.error.clone()),
            progress: job.map(|job| job.progress),
        })
    }
}

fn is_there(file: &File, now: Time) -> bool {
    file.removed_at.is_none() && file.expires_at > now
}

/// `GET /api/export/{job_id}/file?link=…`: the file, to whoever has its link. Beside the documented
/// service, because its body is a file.
pub(crate) async fn download(state: &AppState, request: &Request) -> Result<Response, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::method_not_allowed());
    }
    // One answer for whatever is wrong with it.
    let refused = || {
        let detail = "this link is not good, or not any more; ask for the export again";
        Problem::new(StatusCode::FORBIDDEN, "link_refused", detail)
    };
    let id = download_id(request.uri().path()).ok_or_else(refused)?;
    let link = request.uri().query().and_then(|query| {
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "link")
    });
    let (_, link) = link.ok_or_else(refused)?;
    if state.identity.links().check_download(&link) != Some(id) {
        return Err(refused());
    }
    let file = state.export(id).await?.ok_or_else(refused)?;
    if !is_there(&file, state.now().await?) {
        return Err(refused());
    }
    let object = state.object(&file.object_key).await?;
    let object = object.ok_or_else(refused)?;
    let mut response =
        files::answer(request, &object, Source::Stored(&state.files.storage)).await?;
    let whole = response.status() == StatusCode::OK;
    let range = response.headers().get(header::CONTENT_RANGE);
    let begins = range.is_some_and(|range| range.as_bytes().starts_with(b"bytes 0-"));
    if *request.method() == Method::GET && (whole || begins) {
        state.count_download(id).await?;
    }
    let day = file.created_at.rfc3339();
    let name = format!("farm-export-{}.{}", day.get(..10).unwrap_or("file"), file.format);
    if let Ok(value) = format!("attachment; filename=\"{name}\"").parse() {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// The export that a path downloads.
pub(crate) fn download_id(path: &str) -> Option<Uuid> {
    path.strip_prefix("/api/export/")?.strip_suffix("/file")?.parse().ok()
}
