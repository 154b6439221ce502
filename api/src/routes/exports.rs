//! Exports: files of creators and their posts.

use entity::enums::{ExportFormat, Tier};
use entity::export::{self, Export as File};
use entity::job::query::{self, Seen, Viewer};
use entity::{Time, access, profile, stored_object, user_list};
use jobs::Kind;
use jobs::kinds::export::{Export, MAX_PROFILES};
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{Request, Response};
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::submit::{self, JobAnswer, Work, options};
use crate::body::JsonBody;
use crate::files::{self, Source};
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::{self, ErrorView, JobView, ProgressView};

/// Exports.
#[derive(Debug)]
pub struct Exports;

/// Names in a refusal.
const NAMES: usize = 20;

/// What to export: whose, what of it, and as what.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct ExportRequest {
    /// Creators by id; instead of `usernames` or `list_id`.
    profile_ids: Option<Vec<Uuid>>,
    /// Creators by handle.
    usernames: Option<Vec<String>>,
    /// The creators of a list of the caller's.
    list_id: Option<Uuid>,
    /// `profiles`, `posts`, or both (default: profiles).
    include: Option<Vec<String>>,
    /// csv, xlsx, json or ndjson.
    format: String,
    /// CSV only: begin with the mark by which spreadsheets know UTF-8.
    byte_order_mark: Option<bool>,
}

/// How to export a list.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct ListExportRequest {
    /// `profiles`, `posts`, or both (default: profiles).
    include: Option<Vec<String>>,
    /// csv, xlsx, json or ndjson.
    format: String,
    /// CSV only: begin with the mark by which spreadsheets know UTF-8.
    byte_order_mark: Option<bool>,
}

/// An export.
#[derive(Debug, Object)]
struct ExportView {
    job_id: Uuid,
    /// queued, running, retrying, succeeded, failed, cancelled; `expired` once its time is over.
    status: String,
    /// In rows; null when its job is not kept any more.
    progress: Option<ProgressView>,
    format: Option<String>,
    /// In the file, headings not counted.
    rows: Option<i64>,
    /// Creators in the file.
    profiles: Option<i64>,
    size_bytes: Option<i64>,
    /// Of the file; hex.
    sha256: Option<String>,
    /// Whoever has it may download the file, until it expires. `Range` is understood.
    download_url: Option<String>,
    download_count: Option<i64>,
    /// RFC 3339.
    created_at: Option<String>,
    /// RFC 3339.
    expires_at: Option<String>,
    error: Option<ErrorView>,
}

/// The export of a list, in the words of the existing client.
#[derive(Debug, Object)]
struct ListExportJob {
    id: Uuid,
    /// pending, processing, completed, failed, expired.
    status: String,
    format: Option<String>,
    progress_percentage: Option<i64>,
    file_size_bytes: Option<i64>,
    download_url: Option<String>,
    download_count: Option<i64>,
    expires_at: Option<String>,
    error_message: Option<String>,
    retry_count: Option<i64>,
}

#[OpenApi(tag = "Tag::Exports")]
impl Exports {
    /// Export creators and their posts
    ///
    /// Starts an `export` job. Every creator must be unlocked, now and when the file is made; the
    /// answer names those that are not. Paid tiers. The file can be had for seven days.
    #[oai(path = "/api/export", method = "post", operation_id = "export")]
    #[allow(clippy::too_many_arguments)] // one per part of the request
    async fn export(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<ExportRequest>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        let body = body.0;
        let whose = Whose::of(body.profile_ids, body.usernames, body.list_id)?;
        let how = How::of(body.include, &body.format, body.byte_order_mark)?;
        start(&state, &caller, request, prefer.0.as_deref(), whose, how).await
    }

    /// An export
    #[oai(path = "/api/export/:job_id", method = "get", operation_id = "get_export")]
    async fn get(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        job_id: Path<Uuid>,
    ) -> Result<Json<ExportView>, Problem> {
        Ok(Json(Found::of(&state, &caller, job_id.0).await?.view(&state).await?))
    }

    /// Export a list
    ///
    /// The same as `POST /api/export` with its `list_id`.
    #[oai(path = "/api/lists/:list_id/export", method = "post", operation_id = "export_list")]
    #[allow(clippy::too_many_arguments)] // one per part of the request
    async fn list(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        list_id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<ListExportRequest>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        let how = How::of(body.0.include, &body.0.format, body.0.byte_order_mark)?;
        let whose = Whose::List(list_id.0);
        start(&state, &caller, request, prefer.0.as_deref(), whose, how).await
    }

    /// The export of a list
    #[oai(
        path = "/api/lists/export-jobs/:job_id",
        method = "get",
        operation_id = "get_list_export"
    )]
    async fn list_job(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        job_id: Path<Uuid>,
    ) -> Result<Json<ListExportJob>, Problem> {
        let view = Found::of(&state, &caller, job_id.0).await?.view(&state).await?;
        let status = match view.status.as_str() {
            "queued" => "pending",
            "running" | "retrying" => "processing",
            "succeeded" => "completed",
            "expired" => "expired",
            _ => "failed",
        };
        let percent = view.progress.as_ref().and_then(|progress| progress.percent);
        let retries = query::seen(state.db().read(), caller.viewer(), &[job_id.0]).await?.pop();
        Ok(Json(ListExportJob {
            id: view.job_id,
            status: status.to_owned(),
            format: view.format,
            progress_percentage: if status == "completed" { Some(100) } else { percent },
            file_size_bytes: view.size_bytes,
            download_url: view.download_url,
            download_count: view.download_count,
            expires_at: view.expires_at,
            error_message: view.error.map(|error| error.message),
            retry_count: retries.map(|seen| i64::from((seen.job.attempt - 1).max(0))),
        }))
    }
}

/// Whose rows are asked for.
enum Whose {
    Ids(Vec<Uuid>),
    Names(Vec<String>),
    List(Uuid),
}

impl Whose {
    fn of(
        ids: Option<Vec<Uuid>>,
        names: Option<Vec<String>>,
        list: Option<Uuid>,
    ) -> Result<Self, Problem> {
        match (ids, names, list) {
            (Some(ids), None, None) => Ok(Self::Ids(ids)),
            (None, Some(names), None) => Ok(Self::Names(names)),
            (None, None, Some(list)) => Ok(Self::List(list)),
            (None, None, None) => {
                Err(refused("profile_ids", "or usernames, or list_id, is required"))
            }
            _ => Err(refused("profile_ids", "usernames and list_id: send one of them")),
        }
    }

    /// The creators, each once.
    async fn profiles(self, state: &AppState, caller: &Caller) -> Result<Vec<Uuid>, Problem> {
        let db = state.db().read();
        let (field, mut ids) = match self {
            Self::Ids(ids) => {
                within("profile_ids", ids.len())?;
                let known = profile::known(db, &ids).await?;
                if let Some(missing) = ids.iter().find(|id| !known.contains(id)) {
                    return Err(unknown("profile_ids", &missing.to_string()));
                }
                ("profile_ids", ids)
            }
            Self::Names(names) => {
                within("usernames", names.len())?;
                let mut ids = vec![];
                let handles = names.iter().map(|name| name.parse::<jobs::Handle>());
                let handles = handles.collect::<Result<Vec<_>, _>>();
                let handles = handles.map_err(|rule| refused("usernames", &rule.to_string()))?;
                let texts: Vec<String> = handles.iter().map(ToString::to_string).collect();
                let known = profile::ids_of(db, &texts).await?;
                for name in &texts {
                    let id = known.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
                    ids.push(id.ok_or_else(|| unknown("usernames", name))?);
                }
                ("usernames", ids)
            }
            Self::List(list) => {
                let missing = || {
                    Problem::not_found("list_not_found", format!("no list {list} among yours"))
                        .with("field", "list_id")
                };
                user_list::of_user(db, caller.id(), list).await?.ok_or_else(missing)?;
                let ids = user_list::profiles(db, list, MAX_PROFILES as u32 + 1).await?;
                ("list_id", ids)
            }
        };
        within(field, ids.len())?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// 1 to 1,000.
fn within(field: &str, profiles: usize) -> Result<(), Problem> {
    match profiles {
        0 => Err(refused(field, "holds no creator; send at least one")),
        n if n > MAX_PROFILES => {
            Err(refused(field, &format!("holds {n} creators; at most {MAX_PROFILES} at once")))
        }
        _ => Ok(()),
    }
}

/// What of them is asked for, and as what.
struct How {
    profiles: bool,
    posts: bool,
    format: ExportFormat,
    byte_order_mark: bool,
}

impl How {
    fn of(
        include: Option<Vec<String>>,
        format: &str,
        byte_order_mark: Option<bool>,
    ) -> Result<Self, Problem> {
        let format: ExportFormat =
            format.parse().map_err(|rule: String| refused("format", &rule))?;
        let include = include.unwrap_or_else(|| vec!["profiles".to_owned()]);
        let known = |word: &String| matches!(word.as_str(), "profiles" | "posts");
        if include.is_empty() || !include.iter().all(known) {
            return Err(refused("include", "must hold profiles, posts, or both"));
        }
        let byte_order_mark = byte_order_mark.unwrap_or(false);
        if byte_order_mark && format != ExportFormat::Csv {
            return Err(refused("byte_order_mark", "is for csv only"));
        }
        let holds = |word: &str| include.iter().any(|one| one == word);
        Ok(Self { profiles: holds("profiles"), posts: holds("posts"), format, byte_order_mark })
    }
}

fn refused(field: &str, rule: &str) -> Problem {
    let detail = format!("{field}: {rule}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_export", detail).with("field", field)
}

fn unknown(field: &str, creator: &str) -> Problem {
    let detail = format!("{field}: {creator} is not stored; fetch the profile first");
    Problem::not_found("profile_not_found", detail).with("field", field).with("creator", creator)
}

async fn start(
    state: &AppState,
    caller: &Caller,
    request: &Request,
    prefer: Option<&str>,
    whose: Whose,
    how: How,
) -> Result<JobAnswer<JobView>, Problem> {
    let wait = rules::prefer_wait(prefer)?.unwrap_or(0);
    let user = &caller.0.user;
    if user.subscription_tier == Tier::Free && !user.role.is_admin() {
        let detail = "exports are part of the standard and premium tiers; upgrade to make one";
        return Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "feature_locked", detail)
            .with("feature", "export")
            .with("subscription_tier", user.subscription_tier.as_str())
            .header("X-Feature-Locked", "export")
            .header("X-Subscription-Tier", user.subscription_tier.as_str()));
    }
    let profile_ids = whose.profiles(state, caller).await?;
    let locked = access::locked(state.db().read(), caller.id(), &profile_ids).await?;
    if !locked.is_empty() {
        let shown: Vec<&str> = locked.iter().take(NAMES).map(String::as_str).collect();
        let detail = format!("not unlocked: {}", shown.join(", "));
        return Err(Problem::new(StatusCode::FORBIDDEN, "profiles_locked", detail)
            .with("locked", Value::from(locked)));
    }
    let job = Export {
        profile_ids,
        profiles: how.profiles,
        posts: how.posts,
        format: how.format,
        byte_order_mark: how.byte_order_mark,
    };
    let payload = serde_json::to_string(&job).map_err(|_| Problem::internal())?;
    let key = idempotency::key(request.headers(), caller.id(), &["POST", "export", &payload])?;
    submit::post(state, caller, Work::new(&job, &options(caller, request))?, key, wait).await
}

/// What is known of an export: its job, its file, or both.
struct Found {
    id: Uuid,
    seen: Option<Seen>,
    file: Option<File>,
}

impl Found {
    async fn of(state: &AppState, caller: &Caller, id: Uuid) -> Result<Self, Problem> {
        let db = state.db().read();
        let seen = query::seen(db, caller.viewer(), &[id]).await?.pop();
        let seen = seen.filter(|seen| Kind::parse(&seen.job.kind) == Some(Kind::Export));
        let mine = |file: &File| match caller.viewer() {
            Viewer::Admin => true,
            Viewer::User(user) => file.user_id == user,
        };
        let file = export::by_job(db, id).await?.filter(mine);
        if seen.is_none() && file.is_none() {
            return Err(Problem::not_found(
                "export_not_found",
                format!("no export {id} among yours"),
            )
            .with("field", "job_id"));
        }
        Ok(Self { id, seen, file })
    }

    async fn view(self, state: &AppState) -> Result<ExportView, Problem> {
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
                let token = state.issuer.sign_download(file.job_id, file.expires_at);
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
    use poem::http::Method;
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
    if state.issuer.check_download(&link) != Some(id) {
        return Err(refused());
    }
    let db = state.db();
    let file = export::by_job(db.read(), id).await?.ok_or_else(refused)?;
    if !is_there(&file, state.now().await?) {
        return Err(refused());
    }
    let object = stored_object::by_key(db.read(), &file.object_key).await?;
    let object = object.ok_or_else(refused)?;
    let mut response =
        files::answer(request, &object, Source::Stored(&state.files.storage)).await?;
    let whole = response.status() == StatusCode::OK;
    let range = response.headers().get(header::CONTENT_RANGE);
    let begins = range.is_some_and(|range| range.as_bytes().starts_with(b"bytes 0-"));
    if *request.method() == Method::GET && (whole || begins) {
        export::count_download(db.write(), id).await?;
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
