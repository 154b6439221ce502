//! A rolling deploy: versions side by side.

use entity::enums::{JobState, Queue};
use entity::job::claim;
use entity::{db, sql};
use jobs::kinds::noop::Noop;
use jobs::{Kind, Options};
use migration::{Migrator, MigratorTrait};
use tests::System;
use uuid::Uuid;

use crate::hand::Hand;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kind_waits_for_its_worker_says_so_and_is_run_by_it_beside_an_old_one() {
    // The old version runs; rows of a kind it does not know come in.
    let system = System::start().await;
    let insert = "INSERT INTO jobs (id, kind, queue, payload, max_attempts, run_at, created_at) \
         VALUES (?, 'newer', 'upkeep', ?, 3, {now}, {now})";
    let ids: Vec<Uuid> = (0..20).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        let payload = serde_json::json!({ "what": "ever" });
        sql::execute(system.db().write(), insert, entity::args![*id, payload]).await.unwrap();
    }
    let admin = system.as_user("admin").await;
    let why = async |id: Uuid| {
        let view = admin.get(&format!("/api/v1/jobs/{id}")).await.expect(200);
        view.json["waiting_reason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(why(ids[0]).await, "no live worker runs newer");
    assert_eq!(system.upkeep.reconcile().await.unwrap().kinds_without_worker, 20);
    // The new version starts beside it. Tickets go out now; the old worker takes some and leaves
    // their rows alone, the new one claims what it comes by.
    let hand = Hand::of_kinds(system.db(), &["newer"]).await;
    assert_eq!(why(ids[0]).await, "waits for a free slot");
    let mut claimed = vec![];
    while claimed.len() < ids.len() {
        let known = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
        assert_eq!(system.finish(known.id).await.state, JobState::Succeeded, "the old one works");
        let tickets = system.jobs.tickets().take(Queue::Upkeep, 5, 0).await;
        let runs = claim::claim(system.db().write(), hand.id, &tickets, &["newer"]).await.unwrap();
        claimed.extend(runs.iter().map(|run| (run.id, run.run)));
    }
    claimed.sort_unstable();
    let wanted: Vec<_> = ids.iter().map(|id| (*id, 1)).collect();
    assert_eq!(claimed, wanted, "each once, none discarded");
    assert!(!Kind::words().contains(&"newer"));
    let gone = "DELETE FROM jobs WHERE kind = 'newer'";
    sql::execute(system.db().write(), gone, vec![]).await.unwrap();
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_want_the_newest_tables_and_take_newer_ones() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let newest = Migrator::migrations().last().map(|step| step.name().to_owned());
    assert_eq!(newest.as_deref(), Some(db::NEWEST_MIGRATION));
    assert!(db::is_migrated(system.db().read()).await.unwrap());
    let rename = "UPDATE seaql_migrations SET version = 'older' WHERE version = ?";
    let newest = entity::args![db::NEWEST_MIGRATION];
    // Whoever owns the tables does this, not the farm.
    sql::execute(&system.owner().await, rename, newest).await.unwrap();
    assert!(!db::is_migrated(system.db().read()).await.unwrap());
    system.end().await;
}
