//! Exports: files of creators and their posts.

use entity::job::query::Viewer;
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::export_file::{ExportView, Found};
use super::export_order::{How, Whose, start};
use super::follow;
use super::submit::JobAnswer;
use crate::body::JsonBody;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::JobView;

/// Exports.
#[derive(Debug)]
pub struct Exports;

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
        let scope = state.scope(&caller.0);
        let retries = follow::seen(&scope, Viewer::User(caller.id()), &[job_id.0]).await?.pop();
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
