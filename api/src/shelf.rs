//! Stored profiles as they were read a moment ago, rendered: what most requests ask for is
//! answered without the database.
//!
//! For at most [`WINDOW`] a page is shown as it was read; then its row is looked at, and the rest
//! only when the row has changed. Whoever is told here that a fetch, or an analysis, has ended
//! sees what it stored.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use entity::enums::JobState;
use entity::job::Model as Job;
use entity::{Time, access, profile};
use jobs::kinds::post_analysis::PostsAnalyzed;
use jobs::kinds::profile_analysis::ProfileAnalyzed;
use jobs::kinds::profile_fetch::ProfileFetched;
use jobs::{AnyJob, Handle};
use poem_openapi::types::ToJSON;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;
use uuid::Uuid;

use crate::identity::Caller;
use crate::problem::Problem;
use crate::recent::{Reading, Recent};
use crate::routes::profile_body::{Sight, view};
use crate::state::AppState;

/// How long what was read is shown.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);
/// All pages together, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// A page with twelve posts, about, in bytes.
const PAGE_BYTES: usize = 16 << 10;
/// Grants remembered.
const MAX_GRANTS: usize = 20_000;
/// Jobs of which it is remembered that somebody was told.
const MAX_TOLD: usize = 20_000;

/// Fields that are not the same for every caller and moment.
const OWN: [&str; 3] = ["access_until", "age_seconds", "stale"];

/// The pages of one process.
pub(crate) struct Shelf {
    shown: Recent<Handle, Shown, Weight>,
    /// By user and profile.
    grants: Cache<(Uuid, Uuid), Grant>,
    /// When somebody was told last that the profile was fetched or analysed: it may have had
    /// another name, and pages are by name.
    changed: Cache<Uuid, Instant>,
    /// Jobs of which somebody was told that they have ended, and when they had.
    told: Cache<(Uuid, Time), ()>,
    readings: AtomicU64,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// A page as it was when its row was looked at.
#[derive(Clone)]
struct Shown {
    page: Arc<Page>,
    /// Which look at the row; no two have the same.
    reading: u64,
}

/// Access as it was found, for as long as the page it was asked for is shown.
#[derive(Clone, Copy)]
struct Grant {
    reading: u64,
    until: Time,
}

/// A stored profile and its two bodies, each without its end.
pub(crate) struct Page {
    profile: Arc<profile::Model>,
    full: Bytes,
    preview: Bytes,
}

/// A profile for one caller.
pub(crate) struct Found {
    pub(crate) sight: Sight,
    pub(crate) page: Arc<Page>,
    /// Nobody was asked for the page.
    pub(crate) remembered: bool,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Handle, Reading<Shown>> for Weight {
    fn weight(&self, _: &Handle, reading: &Reading<Shown>) -> u64 {
        let page = reading.value.as_ref().ok().and_then(Option::as_ref).map(|shown| &shown.page);
        // Twice the preview for the row and the rest.
        page.map_or(1, |page| page.full.len() + 3 * page.preview.len()) as u64
    }
}

impl Default for Shelf {
    fn default() -> Self {
        let most = MAX_BYTES as usize / PAGE_BYTES;
        Self {
            shown: Recent::weighed(WINDOW, most, MAX_BYTES, Weight),
            grants: Cache::new(MAX_GRANTS),
            changed: Cache::new(MAX_TOLD),
            told: Cache::new(MAX_TOLD),
            readings: AtomicU64::new(0),
        }
    }
}

impl Shelf {
    /// A stored profile as this caller may see it.
    pub(crate) async fn find(
        &self,
        state: &AppState,
        caller: &Caller,
        handle: &Handle,
    ) -> Result<Option<Found>, Problem> {
        let found = loop {
            let found = self.shown.get(handle, |known| self.look(state, handle, known)).await?;
            let Some(found) = found else { return Ok(None) };
            let changed = self.changed.get(&found.value.page.profile.id);
            if changed.is_none_or(|changed| changed < found.asked) {
                break found;
            }
            self.shown.forget(handle);
        };
        let (shown, remembered) = (found.value, found.remembered);
        let until = self.until(state, caller, &shown).await?;
        let now = state.now().await?;
        let sight = Sight::new(state, caller, shown.page.profile.clone(), until, now);
        Ok(Some(Found { sight, page: shown.page, remembered }))
    }

    async fn look(
        &self,
        state: &AppState,
        handle: &Handle,
        known: Option<Shown>,
    ) -> Result<Option<Shown>, Problem> {
        let reading = self.readings.fetch_add(1, Ordering::Relaxed);
        let stored = profile::by_username(state.common().read(), handle.as_str()).await?;
        let Some(stored) = stored else { return Ok(None) };
        // Posts and the rest change with their profile, in the same transaction; so says the tag.
        let page = match known {
            Some(known) if *known.page.profile == stored => known.page,
            _ => Arc::new(Page::render(state, stored).await?),
        };
        Ok(Some(Shown { page, reading }))
    }

    async fn until(
        &self,
        state: &AppState,
        caller: &Caller,
        shown: &Shown,
    ) -> Result<Option<Time>, Problem> {
        let user = caller.id();
        let key = (user, shown.page.profile.id);
        let known = self.grants.get(&key).filter(|grant| grant.reading == shown.reading);
        if let Some(grant) = known {
            return Ok(Some(grant.until));
        }
        let until =
            access::until(state.scope(&caller.0).read(), user, shown.page.profile.id).await?;
        // Who has no access may be given it any moment: that is never remembered.
        if let Some(until) = until {
            self.grants.insert(key, Grant { reading: shown.reading, until });
        }
        Ok(until)
    }

    /// To be called before anybody is told that a job has ended: what it stored is what they see
    /// next.
    pub(crate) fn ended(&self, job: &Job) {
        let at = job.finished_at.filter(|_| job.state == JobState::Succeeded);
        let Some(end) = at.map(|at| (job.id, at)) else { return };
        // Once is enough: whatever is read from then on is what was stored.
        if self.told.get(&end).is_some() {
            return;
        }
        let result = job.result.clone().unwrap_or_default();
        // By name too: it may have been another creator's.
        let (mut names, changed) = match AnyJob::decode(&job.kind, &job.payload) {
            Ok(AnyJob::ProfileFetch(fetch)) => {
                let fetched = serde_json::from_value::<ProfileFetched>(result).ok();
                (vec![fetch.username], fetched.map(|f| (vec![f.profile_id], Some(f.username))))
            }
            Ok(AnyJob::BulkProfiles(bulk)) => (bulk.usernames, None),
            Ok(AnyJob::ProfileAnalysis(_)) => {
                let analyzed = serde_json::from_value::<ProfileAnalyzed>(result).ok();
                (vec![], analyzed.map(|a| (vec![a.profile_id], Some(a.username))))
            }
            Ok(AnyJob::ImageIngest(ingest)) => (vec![], Some((vec![ingest.profile_id], None))),
            Ok(AnyJob::PostAnalysis(_)) => {
                let analyzed = serde_json::from_value::<PostsAnalyzed>(result).ok();
                (vec![], analyzed.map(|a| (a.profiles, None)))
            }
            _ => return,
        };
        if let Some((profiles, username)) = changed {
            for profile in profiles {
                self.changed.insert(profile, Instant::now());
            }
            names.extend(username.and_then(|name| name.parse::<Handle>().ok()));
        }
        for name in &names {
            self.shown.forget(name);
        }
        self.told.insert(end, ());
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.shown.clear();
    }
}

impl Page {
    async fn render(state: &AppState, profile: profile::Model) -> Result<Self, Problem> {
        let profile = Arc::new(profile);
        let preview = open(state, &Sight::sample(profile.clone(), false)).await?;
        let full = open(state, &Sight::sample(profile.clone(), true)).await?;
        Ok(Self { profile, full, preview })
    }

    /// The body for a caller: what everybody is shown, and the rest.
    pub(crate) fn body(&self, sight: &Sight) -> (Bytes, Vec<u8>) {
        let open = if sight.full() { &self.full } else { &self.preview };
        let mut rest = Vec::with_capacity(128);
        let until =
            sight.ends().map_or("null".to_owned(), |until| format!("\"{}\"", until.rfc3339()));
        // Writing into memory does not fail.
        let _ = write!(
            rest,
            ",\"access_until\":{until},\"age_seconds\":{},\"stale\":{}}}",
            sight.age_seconds(),
            sight.stale
        );
        (open.clone(), rest)
    }
}

/// What a view shows to everybody who may see as much, without the closing brace.
async fn open(state: &AppState, sight: &Sight) -> Result<Bytes, Problem> {
    let Some(Value::Object(mut fields)) = view(state, sight).await?.to_json() else {
        return Err(Problem::internal());
    };
    for own in OWN {
        fields.remove(own);
    }
    let mut text = Value::Object(fields).to_string();
    text.pop();
    Ok(text.into())
}
