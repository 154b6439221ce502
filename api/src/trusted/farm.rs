//! What the farm says of itself and does for a caller, in small named pieces.

use entity::cdn_asset::overview::{self, Hour, Stored, Totals};
use entity::cdn_asset::{self, Asset};
use entity::export::{self, Export};
use entity::job::Model as Job;
use entity::job::cancel::Leaver;
use entity::job::query::{self, Stamp};
use entity::queue_control::{self, QueueControl};
use entity::stored_object::{self, StoredObject};
use entity::worker::{self, Worker};
use entity::{DbErr, Time, clock, configuration};
use jobs::JobsError;
use jobs::watch::Waiting;
use uuid::Uuid;

use super::state::AppState;

impl AppState {
    /// A place among those who are told of a job's changes.
    pub(crate) fn place_for(&self, job: Uuid) -> Waiting {
        self.jobs.watch().subscribe(job)
    }

    /// Has all who wait look again: something changed that no job says.
    pub(crate) fn look_again(&self) {
        self.jobs.watch().look();
    }

    /// Takes somebody off a job they may see.
    pub(crate) async fn leave(&self, job: Uuid, leaver: Leaver) -> Result<(), JobsError> {
        self.jobs.cancel(job, leaver).await.map(drop)
    }

    /// Whether tickets can be sent.
    pub(crate) async fn tickets(&self) -> Result<(), String> {
        self.jobs.tickets().check().await
    }

    /// The farm's clock, asked now.
    pub(crate) async fn exact_now(&self) -> Result<Time, DbErr> {
        clock::now(self.farm().read()).await
    }

    /// When a job, or what it waits for, changed last.
    pub(crate) async fn stamp(&self, job: Uuid) -> Result<Option<Stamp>, DbErr> {
        let stamp = query::stamps(self.farm().read(), &[job]).await?.pop();
        Ok(stamp.map(|(_, stamp)| stamp))
    }

    /// How many jobs go first, and itself.
    pub(crate) async fn queue_position(&self, job: &Job) -> Result<Option<i64>, DbErr> {
        query::queue_position(self.farm().read(), job).await
    }

    /// Who stopped a queue, when somebody did.
    pub(crate) async fn pause_of(&self, queue: &str) -> Result<Option<QueueControl>, DbErr> {
        let paused = queue_control::paused(self.farm().read()).await?;
        Ok(paused.into_iter().find(|pause| pause.queue == queue))
    }

    /// Whether a live worker runs jobs of the kind.
    pub(crate) async fn kind_has_worker(&self, kind: &str) -> Result<bool, DbErr> {
        query::kind_has_worker(self.farm().read(), kind).await
    }

    /// How many live workers run jobs of the kind.
    pub(crate) async fn workers_of(&self, kind: &str) -> Result<i64, DbErr> {
        query::workers_of(self.farm().read(), kind).await
    }

    /// Workers whose lease is live.
    pub(crate) async fn live_workers(&self) -> Result<Vec<Worker>, DbErr> {
        worker::live(self.farm().read()).await
    }

    /// The jobs that go on with one of these keys, whoever asked for them.
    pub(crate) async fn open_of(&self, kind: &str, keys: &[String]) -> Result<Vec<Job>, DbErr> {
        query::open_of(self.farm().read(), kind, keys).await
    }

    /// Whether a job goes on whose key begins like this, whoever asked for it.
    pub(crate) async fn is_open(&self, kind: &str, prefix: &str) -> Result<bool, DbErr> {
        query::is_open(self.farm().read(), kind, prefix).await
    }

    /// A switch of the configuration.
    pub(crate) async fn is_on(&self, key: &str) -> Result<bool, DbErr> {
        configuration::is_on(self.farm().read(), key).await
    }

    /// The pictures of a profile. Where they came from must not leave us.
    pub(crate) async fn assets(&self, profile: Uuid) -> Result<Vec<Asset>, DbErr> {
        cdn_asset::of_profile(self.farm().read(), profile).await
    }

    /// A stored file, for who has its address.
    pub(crate) async fn object(&self, key: &str) -> Result<Option<StoredObject>, DbErr> {
        stored_object::by_key(self.farm().read(), key).await
    }

    /// An export, for who has its link.
    pub(crate) async fn export(&self, job: Uuid) -> Result<Option<Export>, DbErr> {
        export::by_job(self.farm().read(), job).await
    }

    /// Counts a download.
    pub(crate) async fn count_download(&self, job: Uuid) -> Result<(), DbErr> {
        export::count_download(self.farm().write(), job).await
    }

    /// The work on pictures of the last hours.
    pub(crate) async fn picture_hours(&self, hours: u32) -> Result<Vec<Hour>, DbErr> {
        overview::hours(self.farm().read(), hours).await
    }

    /// Pictures by where they stand.
    pub(crate) async fn picture_totals(&self) -> Result<Totals, DbErr> {
        overview::totals(self.farm().read()).await
    }

    /// What lies in the storage.
    pub(crate) async fn stored(&self) -> Result<Stored, DbErr> {
        overview::stored(self.farm().read()).await
    }
}
