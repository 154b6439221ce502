//! Following one job: subscribe, then read, so that no change falls in between.

use std::time::Duration;

use entity::job::query::{self, Seen, Stamp, Viewer};
use jobs::watch::Waiting;
use tokio::time::Instant;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::AppState;

/// A job as one viewer follows it. While it waits it holds a place in the waiting room and
/// nothing else: no connection, no task.
pub(crate) struct Follower {
    state: AppState,
    viewer: Viewer,
    id: Uuid,
    place: Waiting,
    at: Stamp,
}

impl Follower {
    /// Takes a place.
    pub(crate) fn new(state: &AppState, viewer: Viewer, id: Uuid) -> Self {
        let place = state.jobs.watch().subscribe(id);
        Self { state: state.clone(), viewer, id, place, at: Stamp::default() }
    }

    /// The job as it stands; `None` when it is gone or not the viewer's.
    pub(crate) async fn read(&mut self) -> Result<Option<Seen>, Problem> {
        let db = self.state.db().read();
        // Before the job itself: what changes in between is read again, never missed.
        let stamp = query::stamps(db, &[self.id]).await?.pop();
        self.at = stamp.map(|(_, stamp)| stamp).unwrap_or_default();
        Ok(query::seen(db, self.viewer, &[self.id]).await?.pop())
    }

    /// Returns when something has changed since the last [`Self::read`].
    pub(crate) async fn changed(&mut self) {
        self.place.past(self.at).await;
    }

    /// [`Self::changed`] until a deadline; false when it passed, or the process stops, first.
    pub(crate) async fn changed_by(&mut self, deadline: Instant) -> bool {
        let stop = self.state.stop.clone();
        tokio::select! {
            changed = tokio::time::timeout_at(deadline, self.changed()) => changed.is_ok(),
            () = stop.cancelled() => false,
        }
    }
}

/// The job once it has ended, or as it stands after the wait.
pub(crate) async fn until_done(
    state: &AppState,
    viewer: Viewer,
    id: Uuid,
    wait: Duration,
) -> Result<Option<Seen>, Problem> {
    if wait.is_zero() {
        return Ok(query::seen(state.db().read(), viewer, &[id]).await?.pop());
    }
    let mut follower = Follower::new(state, viewer, id);
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
