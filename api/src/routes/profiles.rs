//! Creators and their posts: what is stored, and the jobs that fetch it.

use entity::user_search;
use jobs::Handle;
use jobs::kinds::profile_fetch::{FetchSource, ProfileFetch};
use poem::http::{HeaderValue, Method, header};
use poem::web::Data;
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::{Binary, Json};
use poem_openapi::{ApiResponse, Object, OpenApi, ResponseContent};

use super::follow::until_done;
use super::post_pages::{self, PostPage};
use super::profile_body::{Sight, job_problem, refresh_link, view};
use super::profile_view::ProfileView;
use super::submit::{self, JobAnswer, RETRY_AFTER_S, Work, location, options};
use crate::body::JsonBody;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::rendered::Rendered;
use crate::routes::Tag;
use crate::shelf::Found;
use crate::state::AppState;
use crate::view::{self as job_view, JobView};
use crate::{idempotency, routes::profile_body};

/// Creators and their posts.
#[derive(Debug)]
pub struct Profiles;

/// Seconds `?fetch=true` waits unless told otherwise.
const DEFAULT_FETCH_WAIT_S: u64 = 8;
/// Not for caches that are shared.
const PRIVATE: &str = "private, no-cache";

#[derive(ApiResponse)]
enum ProfileRead {
    /// What is stored: in full with access, else a preview.
    #[oai(status = 200)]
    Profile(
        Rendered<ProfileView>,
        /// Changes with what is shown.
        #[oai(header = "ETag")]
        String,
        /// Never shared between users.
        #[oai(header = "Cache-Control")]
        String,
        /// `cache` of a moment ago, `database`, or `provider` when it was fetched for this request.
        #[oai(header = "X-Data-Source")]
        String,
    ),
    /// It is being fetched; follow `Location`.
    #[oai(status = 202)]
    Fetching(
        Json<JobView>,
        /// Where the job can be followed.
        #[oai(header = "Location")]
        String,
        /// Seconds.
        #[oai(header = "Retry-After")]
        String,
    ),
    /// Still as `If-None-Match` has it.
    #[oai(status = 304)]
    NotModified(
        /// Changes with what is shown.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ResponseContent)]
enum PostsContent {
    /// A page.
    #[oai(content_type = "application/json; charset=utf-8")]
    Page(Json<PostPage>),
    /// All of them, one JSON object a line.
    #[oai(content_type = "application/x-ndjson")]
    Lines(Binary<Body>),
}

#[derive(ApiResponse)]
enum PostsRead {
    /// The posts.
    #[oai(status = 200)]
    Posts(PostsContent),
}

/// What a refresh should do.
#[derive(Debug, Default, Object)]
#[oai(deny_unknown_fields)]
pub struct RefreshOptions {
    /// Store posts too (default true).
    include_posts: Option<bool>,
}

#[OpenApi(tag = "Tag::Profiles")]
impl Profiles {
    /// A creator
    ///
    /// What is stored, at once: fresh for a day, then `stale: true` with the link that brings it
    /// up to date. An unknown handle answers 404 with the link that fetches it. `?fetch=true`
    /// fetches what is unknown, stale or not yet yours, and answers within `wait` seconds
    /// (default 8) with the profile or with the job to follow.
    #[oai(path = "/api/profile/:username", method = "get", operation_id = "get_profile")]
    #[allow(clippy::too_many_arguments)] // one per part of the request
    async fn get(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        username: Path<String>,
        /// Fetch when there is nothing fresh to show.
        fetch: Query<Option<bool>>,
        /// Seconds to wait for a fetch, 0 to 25; `Prefer: wait=N` does the same.
        wait: Query<Option<i64>>,
        /// `wait=N`: as the query parameter.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// The tag seen last.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<String>>,
    ) -> Result<ProfileRead, Problem> {
        let name = handle(&username.0)?;
        let tags = if_none_match.0.as_deref();
        let wait = match rules::query_wait(wait.0)? {
            Some(wait) => wait,
            None => rules::prefer_wait(prefer.0.as_deref())?.unwrap_or(DEFAULT_FETCH_WAIT_S),
        };
        let found = state.shelf.find(&state, &caller, &name).await?;
        let fresh = |s: &Sight| s.full() && !s.stale && !s.posts_stale;
        if fetch.0 == Some(true) && !found.as_ref().is_some_and(|found| fresh(&found.sight)) {
            return fetch_and_wait(&state, &caller, request, name, wait, tags).await;
        }
        stored(&state, found, &name, tags)
    }

    /// Posts of a creator
    ///
    /// Newest first, page by page; with `Accept: application/x-ndjson` all of them, one a line.
    #[oai(
        path = "/api/profile/:username/posts",
        method = "get",
        operation_id = "get_profile_posts"
    )]
    async fn posts(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        username: Path<String>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<PostsRead, Problem> {
        let name = handle(&username.0)?;
        let limit = rules::limit(limit.0, 20)?;
        let after = cursor.0.as_deref().map(post_pages::parse_cursor).transpose()?;
        let sight = Sight::of(&state, &caller, name.as_str()).await?;
        let sight = sight.ok_or_else(|| not_fetched(&name))?;
        if !sight.full() {
            let detail = "posts are shown with access to the profile; fetch it to get access";
            return Err(Problem::new(poem::http::StatusCode::FORBIDDEN, "no_access", detail)
                .with("refresh", refresh_link(name.as_str())));
        }
        let id = sight.profile.id;
        let content = if wants_lines(request) {
            PostsContent::Lines(Binary(post_pages::lines(state.0.clone(), id)))
        } else {
            PostsContent::Page(Json(post_pages::page(&state, id, after, limit).await?))
        };
        Ok(PostsRead::Posts(content))
    }

    /// Fetch a creator
    ///
    /// Starts a `profile_fetch` job, or joins the one that does the same. Asks the provider even
    /// when what is stored is fresh. `Prefer: wait=N` holds the answer until the job has ended.
    #[oai(
        path = "/api/v1/instagram/profile/:username/refresh",
        method = "post",
        operation_id = "refresh_profile"
    )]
    #[allow(clippy::too_many_arguments)] // one per part of the request
    async fn refresh(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        username: Path<String>,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<Option<RefreshOptions>>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        let name = handle(&username.0)?;
        let wait = rules::prefer_wait(prefer.0.as_deref())?.unwrap_or(0);
        let include_posts = body.0.and_then(|body| body.include_posts).unwrap_or(true);
        let what = ["POST", "refresh", name.as_str(), if include_posts { "posts" } else { "bare" }];
        let key = idempotency::key(request.headers(), caller.id(), &what)?;
        // Forcing is only needed past something fresh. Otherwise all who wait for a provider
        // call about this handle share one job.
        let sight = Sight::of(&state, &caller, name.as_str()).await?;
        let force_refresh = sight.is_some_and(|sight| !sight.stale && !sight.profile.partial);
        let job = ProfileFetch { force_refresh, include_posts, ..ProfileFetch::of(name) };
        let work = Work::new(&job, &options(&caller, request))?;
        searched(&state, &caller, &[job.username.as_str()], "profile").await?;
        submit::post(&state, &caller, work, key, wait).await
    }
}

/// The answer to a plain `GET /api/profile/{username}`, without a query or a wish to wait: what is
/// asked for most. The service above would say the same, with as much work again for finding the
/// method and taking the request apart.
///
/// `None` when the service must say what is wrong with the request.
pub(crate) async fn plain(state: &AppState, request: &Request) -> Option<poem::Result<Response>> {
    let name = request.uri().path().strip_prefix("/api/profile/")?;
    let name: Handle = name.parse().ok()?;
    let headers = request.headers();
    let asks = request.method() == Method::GET && request.uri().query().is_none();
    if !asks || headers.contains_key("prefer") {
        return None;
    }
    let caller = Caller::plain(state, request).await?;
    let tags = headers.get(header::IF_NONE_MATCH).map(HeaderValue::to_str).transpose().ok()?;
    let answer = async {
        let found = state.shelf.find(state, &caller, &name).await?;
        stored(state, found, &name, tags)
    };
    Some(answer.await.map(IntoResponse::into_response).map_err(Into::into))
}

/// What is stored, unless the caller has it.
fn stored(
    state: &AppState,
    found: Option<Found>,
    name: &Handle,
    tags: Option<&str>,
) -> Result<ProfileRead, Problem> {
    let found = found.ok_or_else(|| not_fetched(name))?;
    state.traffic.shown(found.remembered);
    let etag = found.sight.etag();
    if rules::none_match(tags, &etag) {
        return Ok(ProfileRead::NotModified(etag));
    }
    let (shared, own) = found.page.body(&found.sight);
    let body = Rendered::text(shared, own);
    let source = if found.remembered { "cache" } else { "database" };
    Ok(ProfileRead::Profile(body, etag, PRIVATE.to_owned(), source.to_owned()))
}

/// Notes what the caller looks for, in their own history.
pub(super) async fn searched(
    state: &AppState,
    caller: &Caller,
    handles: &[&str],
    analysis_type: &str,
) -> Result<(), Problem> {
    let scope = state.scope(&caller.0);
    Ok(user_search::record(scope.write(), caller.id(), handles, analysis_type).await?)
}

pub(super) fn handle(text: &str) -> Result<Handle, Problem> {
    text.parse().map_err(|rule| Problem::field("username", rule))
}

pub(super) fn not_fetched(name: &Handle) -> Problem {
    Problem::not_found(
        "profile_not_fetched",
        format!("{name} has not been fetched yet; POST to the refresh link, or use ?fetch=true"),
    )
    .with("refresh", refresh_link(name.as_str()))
    .with("field", "username")
}

/// What has just been fetched, or what there is instead.
async fn read(
    state: &AppState,
    tags: Option<&str>,
    sight: &Sight,
    source: &str,
) -> Result<ProfileRead, Problem> {
    let etag = sight.etag();
    if rules::none_match(tags, &etag) {
        return Ok(ProfileRead::NotModified(etag));
    }
    let body = Rendered::of(&view(state, sight).await?);
    Ok(ProfileRead::Profile(body, etag, PRIVATE.to_owned(), source.to_owned()))
}

/// The deliberate side effect of `?fetch=true`.
async fn fetch_and_wait(
    state: &AppState,
    caller: &Caller,
    request: &Request,
    name: Handle,
    wait_s: u64,
    tags: Option<&str>,
) -> Result<ProfileRead, Problem> {
    let options = options(caller, request);
    let job = ProfileFetch::of(name.clone());
    searched(state, caller, &[name.as_str()], "profile").await?;
    let enqueued = submit::start(state, caller, &job, &options).await?;
    let wait = std::time::Duration::from_secs(wait_s);
    let seen = until_done(state, caller, enqueued.id, wait).await?.ok_or_else(Problem::internal)?;
    // What is stored can be shown although its analysis goes on.
    let stored = seen.job.state.is_done() || seen.job.waits_for_children();
    if !stored {
        let mut view = job_view::job_view(state, &seen).await?;
        view.created = Some(enqueued.created);
        let at = location(enqueued.id);
        return Ok(ProfileRead::Fetching(Json(view), at, RETRY_AFTER_S.to_string()));
    }
    // The provider may know the handle renamed: the job says which profile it was. Whatever
    // became of the fetch, something stored is better than an error; it says its age.
    let (sight, source) = match profile_body::sight_of_job(state, caller, &seen.job).await? {
        Some((sight, FetchSource::Fetched)) => (Some(sight), "provider"),
        Some((sight, FetchSource::Fresh)) => (Some(sight), "database"),
        None => (Sight::of(state, caller, name.as_str()).await?, "database"),
    };
    match sight {
        Some(sight) if sight.full() => read(state, tags, &sight, source).await,
        _ => Err(job_problem(&seen.job)),
    }
}

fn wants_lines(request: &Request) -> bool {
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/x-ndjson"))
}
