//! The upkeep of pictures: what is lost is made again, what is replaced is removed, what waits is
//! taken up, and a worker that dies in between leaves nothing behind.

use std::time::Duration;

use entity::cdn_asset::{self, Asset, outcome};
use entity::enums::{AssetStatus, JobState, Queue};
use entity::job::Model;
use entity::{args, clock, sql};
use jobs::kinds::cdn_cleanup::CdnCleanup;
use jobs::kinds::cdn_drift::CdnDrift;
use jobs::kinds::cdn_freshness::CdnFreshness;
use jobs::kinds::cdn_retry::CdnRetry;
use jobs::kinds::cdn_stats::CdnStats;
use jobs::kinds::cdn_sync::CdnSync;
use jobs::kinds::image_ingest::ImageIngest;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::{Job, Options};
use tests::pictures::{PictureHost, Shown};
use tests::{System, eventually};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn ran<J: Job>(system: &System, job: &J) -> Model {
    let id = system.jobs.submit(job, &Options::default()).await.unwrap().id;
    let ended = system.finish(id).await;
    system.drain().await;
    assert_eq!(ended.state, JobState::Succeeded, "{ended:?}");
    ended
}

async fn assets(system: &System) -> Vec<Asset> {
    let first = cdn_asset::stored_page(system.db().read(), uuid::Uuid::nil(), 100).await.unwrap();
    let mut all = cdn_asset::failed(system.db().read(), 100).await.unwrap();
    all.extend(first);
    all
}

fn file(system: &System, asset: &Asset, size: usize) -> std::path::PathBuf {
    system.path("objects").join(asset.keys().unwrap()[size])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_in_the_storage_is_found_and_made_again() {
    let system = System::builder().pictures().start().await;
    ran(&system, &ProfileFetch::of("demo_travel".parse().unwrap())).await;
    let before = assets(&system).await;
    assert_eq!(before.len(), 13);
    std::fs::remove_file(file(&system, &before[0], 0)).unwrap();
    std::fs::write(file(&system, &before[1], 1), "cut").unwrap();
    let drift = ran(&system, &CdnDrift {}).await.result.unwrap();
    assert_eq!((&drift["checked"], &drift["missing"]), (&13.into(), &2.into()), "{drift}");
    let after = assets(&system).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.keys(), after.keys(), "the same pictures under the same names");
        for size in [0, 1] {
            let bytes = std::fs::read(file(&system, after, size)).unwrap();
            assert!(bytes.starts_with(b"RIFF"));
        }
    }
    let drift = ran(&system, &CdnDrift {}).await.result.unwrap();
    assert_eq!(drift["missing"], 0);
    // Of the same size, and not what its name says: whoever makes the picture again sees it.
    let whole = std::fs::read(file(&system, &before[2], 0)).unwrap();
    std::fs::write(file(&system, &before[2], 0), vec![0; whole.len()]).unwrap();
    let tx = system.db().begin().await.unwrap();
    outcome::lost(&tx, &[before[2].id]).await.unwrap();
    tx.commit().await.unwrap();
    ran(&system, &ImageIngest::of(before[2].profile_id, vec![before[2].id])).await;
    assert_eq!(std::fs::read(file(&system, &before[2], 0)).unwrap(), whole);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_thumbnails_and_strays_are_removed_after_a_day_and_nothing_else() {
    let system = System::builder().pictures().start().await;
    ran(&system, &ProfileFetch::of("demo_travel".parse().unwrap())).await;
    let asset = assets(&system).await.remove(0);
    let [small, large] = asset.keys().unwrap().map(str::to_owned);
    let text = "UPDATE cdn_image_assets SET cdn_path_256 = NULL, cdn_path_512 = NULL, \
         processing_status = 'failed' WHERE id = ?";
    sql::execute(system.db().write(), text, args![asset.id]).await.unwrap();
    // A file nobody knows of, of the day before yesterday, and one of now.
    let folder = system.path("objects/exports/lost");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["old.csv", "new.csv"] {
        std::fs::write(folder.join(name), "x").unwrap();
    }
    let old = std::fs::File::options().write(true).open(folder.join("old.csv")).unwrap();
    old.set_modified(std::time::SystemTime::now() - 2 * DAY).unwrap();
    let clean = ran(&system, &CdnCleanup {}).await.result.unwrap();
    assert_eq!((&clean["replaced"], &clean["strays"]), (&0.into(), &1.into()), "{clean}");
    assert!(folder.join("new.csv").exists() && !folder.join("old.csv").exists());
    system.advance(DAY + Duration::from_secs(1)).await;
    let clean = ran(&system, &CdnCleanup {}).await.result.unwrap();
    assert_eq!(clean["replaced"], 2, "{clean}");
    for key in [small, large] {
        assert!(!system.path("objects").join(key).exists());
    }
    let stored = "SELECT count(*) AS n FROM stored_objects";
    assert_eq!(system.count(stored).await, 24);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_left_waiting_are_taken_up_and_old_ones_looked_at_again() {
    let system = System::builder().pictures().start().await;
    ran(&system, &ProfileFetch::of("demo_travel".parse().unwrap())).await;
    let all = assets(&system).await;
    // Left behind, and left behind too often.
    for (asset, attempts) in [(&all[0], 1), (&all[1], 9)] {
        let text = "UPDATE cdn_image_assets SET processing_status = 'pending', \
             cdn_path_256 = NULL, cdn_path_512 = NULL, processing_attempts = ? WHERE id = ?";
        sql::execute(system.db().write(), text, args![attempts, asset.id]).await.unwrap();
    }
    let soon = ran(&system, &CdnFreshness {}).await.result.unwrap();
    assert_eq!(soon["waiting"], 0, "they may be on their way: {soon}");
    system.advance(2 * 3_600 * Duration::from_secs(1)).await;
    let fresh = ran(&system, &CdnFreshness {}).await.result.unwrap();
    assert_eq!((&fresh["waiting"], &fresh["given_up"]), (&1.into(), &1.into()), "{fresh}");
    assert_eq!(fresh["unchecked"], 0);
    let failed = cdn_asset::failed(system.db().read(), 10).await.unwrap();
    assert_eq!(failed.iter().map(|asset| asset.id).collect::<Vec<_>>(), [all[1].id]);
    system.advance(8 * DAY).await;
    let fresh = ran(&system, &CdnFreshness {}).await.result.unwrap();
    assert_eq!(fresh["unchecked"], 12, "{fresh}");
    let fresh = ran(&system, &CdnFreshness {}).await.result.unwrap();
    assert_eq!(fresh["unchecked"], 0, "they were looked at");
    let retried = ran(&system, &CdnRetry {}).await.result.unwrap();
    assert_eq!((&retried["assets"], &retried["jobs"]), (&1.into(), &1.into()));
    assert_eq!(assets(&system).await.len(), 13);
    assert!(cdn_asset::failed(system.db().read(), 10).await.unwrap().is_empty());
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_that_were_stored_before_are_brought_to_the_cdn() {
    let host = PictureHost::start().await;
    let system = System::builder().pictures().allow(host.at).start().await;
    ran(&system, &ProfileFetch::of("demo_travel".parse().unwrap())).await;
    // As if there had been no pictures then.
    sql::execute(system.db().write(), "DELETE FROM cdn_image_assets", vec![]).await.unwrap();
    let synced = ran(&system, &CdnSync {}).await.result.unwrap();
    assert_eq!((&synced["profiles"], &synced["assets"]), (&1.into(), &13.into()), "{synced}");
    assert!(assets(&system).await.iter().all(|a| a.processing_status == AssetStatus::Completed));
    let synced = ran(&system, &CdnSync {}).await.result.unwrap();
    assert_eq!(synced["profiles"], 0, "{synced}");
    let stats = ran(&system, &CdnStats {}).await.result.unwrap();
    assert_eq!((&stats["assets"], &stats["completed"]), (&13.into(), &13.into()));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_does_not_wait_for_pictures_that_nobody_works_on() {
    let mut system = System::builder()
        .pictures()
        .engine(|config| config.concurrency.retain(|queue, _| *queue != Queue::Media))
        .start()
        .await;
    let fetch = ProfileFetch::of("demo_travel".parse().unwrap());
    let id = system.jobs.submit(&fetch, &Options::default()).await.unwrap().id;
    assert_eq!(system.finish(id).await.state, JobState::Succeeded);
    let waiting = system.open_jobs().await;
    let kinds: Vec<&str> = waiting.iter().map(|job| job.kind.as_str()).collect();
    assert_eq!((kinds, waiting[0].parent_id), (vec!["image_ingest"], None));
    system.set_queues([(Queue::Media, 2)].into());
    system.add_worker().await;
    system.drain().await;
    assert_eq!(assets(&system).await.len(), 13, "they come when somebody does");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_leaves_what_it_stored_and_another_does_the_rest() {
    let host = PictureHost::start().await;
    let mut system = System::builder()
        .pictures()
        .allow(host.at)
        .engine(|config| config.grace = Duration::from_millis(10))
        .start()
        .await;
    ran(&system, &ProfileFetch::of("demo_travel".parse().unwrap())).await;
    let all = assets(&system).await;
    let url = host.show("/silent.jpg", Shown::Silent);
    let text = "UPDATE cdn_image_assets SET needs_update = true";
    sql::execute(system.db().write(), text, vec![]).await.unwrap();
    let text = "UPDATE cdn_image_assets SET source_url = ? WHERE id = ?";
    sql::execute(system.db().write(), text, args![url, all[0].id]).await.unwrap();
    let ids = all.iter().map(|asset| asset.id).collect();
    let job = ImageIngest::of(all[0].profile_id, ids);
    let id = system.jobs.submit(&job, &Options::default()).await.unwrap().id;
    eventually("all but one are done", || async {
        let due = cdn_asset::of_profile(system.db().read(), all[0].profile_id).await.unwrap();
        (due.iter().filter(|asset| asset.is_due()).count() == 1).then_some(())
    })
    .await;
    let since = clock::now(system.db().read()).await.unwrap();
    system.stop_worker().await;
    host.show("/silent.jpg", Shown::status(404));
    system.add_worker().await;
    let ended = system.finish(id).await;
    assert_eq!(ended.state, JobState::Succeeded);
    let result = ended.result.unwrap();
    assert_eq!(
        (&result["unchanged"], &result["failed"][0]["code"]),
        (&12.into(), &"source_gone".into())
    );
    let after = cdn_asset::of_profile(system.db().read(), all[0].profile_id).await.unwrap();
    let late = after.iter().filter(|asset| asset.last_checked.is_some_and(|at| at > since));
    assert_eq!(late.count(), 1, "what was done is not done again");
    system.end().await;
}
