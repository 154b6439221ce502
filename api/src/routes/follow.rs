//! Following one job: subscribe, then read, so that no change falls in between.

use std::time::Duration;

use entity::job::query::{self, Seen, Stamp, Viewer};
use entity::{DbErr, Scope};
use jobs::watch::Waiting;
use tokio::time::Instant;
use uuid::Uuid;

use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;
use crate::traffic;

/// A job as one viewer follows it. While it waits it holds a place in the waiting room and
/// nothing else: no connection, no task.
pub(crate) struct Follower {
    state: AppState,
    scope: Scope,
    viewer: Viewer,
    id: Uuid,
    place: Waiting,
    at: Stamp,
}

impl Follower {
    /// Takes a place.
    pub(crate) fn new(state: &AppState, caller: &Caller, id: Uuid) -> Self {
        let (scope, viewer) = (state.scope(&caller.0), caller.viewer());
        let (state, place) = (state.clone(), state.place_for(id));
        Self { state, scope, viewer, id, place, at: Stamp::default() }
    }

    /// The job as it stands; `None` when it is gone or not the viewer's.
    pub(crate) async fn read(&mut self) -> Result<Option<Seen>, Problem> {
        // Before the job itself: what changes in between is read again, never missed.
        self.at = self.state.stamp(self.id).await?.unwrap_or_default();
        Ok(seen(&self.scope, self.viewer, &[self.id]).await?.pop())
    }

    /// Returns when something has changed since the last [`Self::read`].
    pub(crate) async fn changed(&mut self) {
        self.place.past(self.at).await;
    }

    /// [`Self::changed`] until a deadline; false when it passed, or the process stops, first.
    pub(crate) async fn changed_by(&mut self, deadline: Instant) -> bool {
        let stop = self.state.stop.clone();
        let began = std::time::Instant::now();
        let changed = tokio::select! {
            changed = tokio::time::timeout_at(deadline, self.changed()) => changed.is_ok(),
            () = stop.cancelled() => false,
        };
        traffic::waited(began);
        changed
    }
}

/// The jobs that the viewer may see: several statements, in one transaction of theirs.
pub(crate) async fn seen(scope: &Scope, viewer: Viewer, ids: &[Uuid]) -> Result<Vec<Seen>, DbErr> {
    let tx = scope.reading().await?;
    let seen = query::seen(&tx, viewer, ids).await?;
    tx.commit().await?;
    Ok(seen)
}

/// The job once it has ended, or as it stands after the wait.
pub(crate) async fn until_done(
    state: &AppState,
    caller: &Caller,
    id: Uuid,
    wait: Duration,
) -> Result<Option<Seen>, Problem> {
    if wait.is_zero() {
        let scope = state.scope(&caller.0);
        return Ok(seen(&scope, caller.viewer(), &[id]).await?.pop());
    }
    let mut follower = Follower::new(state, caller, id);
    let deadline = Instant::now() + wait;
    loop {
        let Some(seen) = follower.read().await? else { return Ok(None) };
        if seen.job.state.is_done() {
            return Ok(Some(seen));
        }
        if !follower.changed_by(deadline).await {
            return follower.read().await;
        }
    }
}
