//! A job as a stream of its versions.

use std::time::Duration;

use entity::enums::JobState;
use entity::job::query::Seen;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem::web::Data;
use poem::web::sse::Event;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::EventStream;
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, OpenApi};
use uuid::Uuid;

use super::follow::Follower;
use super::jobs::unknown;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::{self, JobView, State};

/// Streams of events.
#[derive(Debug)]
pub struct Events;

/// A comment this often keeps connections open that nothing else travels on.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(ApiResponse)]
enum JobEvents {
    /// One event per version: `event` is the state, `id` the version, `data` the job.
    #[oai(status = 200)]
    Stream(EventStream<BoxStream<'static, JobView>>),
}

#[OpenApi(prefix_path = "/api/v1/jobs", tag = "Tag::Jobs")]
impl Events {
    /// A job, as it changes
    ///
    /// Server-sent events. The current state comes at once, then every change, its children's
    /// progress included; what follows each other faster than it can be read is left out. The
    /// stream ends after the event of a finished job, or with the access it was opened with: after
    /// 30 minutes at most. Who comes back is sent the current state, whichever version
    /// `Last-Event-ID` names. A comment comes every 15 s.
    #[oai(path = "/:id/events", method = "get", operation_id = "get_job_events")]
    async fn events(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        id: Path<Uuid>,
        /// The id of the last event that was received.
        #[oai(name = "Last-Event-ID")]
        _last_event_id: Header<Option<String>>, // documented: the view can change under a version
    ) -> Result<JobEvents, Problem> {
        let mut follower = Follower::new(&state, &caller, id.0);
        let seen = follower.read().await?.ok_or_else(|| unknown(id.0))?;
        let told = String::new();
        let follow = Follow { state: state.0.clone(), follower, told, first: Some(seen) };
        let views = stream::unfold(Some(follow), |follow| async move { follow?.next().await })
            .take_until(caller.0.over(state.0.clone()))
            .boxed();
        let events = EventStream::new(views).keep_alive(HEARTBEAT).to_event(|view| event(&view));
        Ok(JobEvents::Stream(events))
    }
}

fn event(view: &JobView) -> Event {
    Event::message(view.to_json_string()).event_type(word(view.state)).id(view.version.to_string())
}

fn word(state: State) -> &'static str {
    JobState::from(state).as_str()
}

struct Follow {
    state: AppState,
    follower: Follower,
    /// Tag of what the client knows.
    told: String,
    /// Read before the stream began.
    first: Option<Seen>,
}

impl Follow {
    /// The next view that says something new; after a finished job there is none.
    async fn next(mut self) -> Option<(JobView, Option<Self>)> {
        loop {
            let view = match self.read().await {
                Ok(view) => view?,
                Err(problem) => {
                    // The answer has begun: ending it makes the client connect again.
                    tracing::warn!(%problem, "a stream of events was broken off");
                    return None;
                }
            };
            let tag = view.etag();
            if tag != self.told {
                self.told = tag;
                let rest = (!view.done).then_some(self);
                return Some((view, rest));
            }
            self.follower.changed().await;
        }
    }

    async fn read(&mut self) -> Result<Option<JobView>, Problem> {
        let seen = match self.first.take() {
            Some(seen) => Some(seen),
            None => self.follower.read().await?,
        };
        match seen {
            Some(seen) => Ok(Some(view::job_view(&self.state, &seen).await?)),
            None => Ok(None),
        }
    }
}
