//! Tickets that get lost or come twice.

use std::time::Duration;

use entity::enums::{Priority, Queue};
use entity::sql;
use jobs::kinds::noop::Noop;
use jobs::{Kind, Lane, Options as With};
use tests::cluster::{Cluster, Options};
use uuid::Uuid;

use crate::storm::{Storm, lasting, lease_s, submit_noops};

#[derive(sea_orm::FromQueryResult)]
struct Id {
    id: Uuid,
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_lost_and_delivered_twice() {
    let options = Options { workers: 2, lease_s: lease_s(), ..Options::default() };
    let storm = Storm::begin("tickets lost and doubled", Cluster::start(options).await).await;
    let (jobs, db) = (storm.cluster.jobs.clone(), storm.cluster.db().clone());
    let (mut lost, mut doubled) = (0, 0);
    for _ in 0..lasting(8, 60).as_secs() * 10 {
        // More than one in a hundred of what goes through in a tenth of a second.
        lost += jobs.tickets().take(Queue::Fetch, 1, 0).await.len();
        // And one that never came to be: its row is stored, its process died before the ticket.
        let noop = Noop { ms: 50, effects: true, ..Noop::default() };
        let fetch = With { queue: Some(Queue::Fetch), ..With::default() };
        let tx = db.begin().await.unwrap();
        let stored = jobs::submit::enqueue(&tx, &noop, &fetch).await.unwrap();
        tx.commit().await.unwrap();
        storm.acknowledged([stored.id]).await;
        lost += 1;
        // Of running and of finished jobs alike.
        let any = "SELECT id FROM jobs WHERE state <> 'queued' ORDER BY random() LIMIT 3";
        let any: Vec<Id> = sql::all(db.read(), any, vec![]).await.unwrap();
        let any: Vec<Uuid> = any.into_iter().map(|row| row.id).collect();
        for priority in Priority::ALL {
            doubled += jobs.tickets().push(Lane { queue: Queue::Fetch, priority }, &any).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{lost} tickets lost, {doubled} delivered again");
    assert!(doubled > 0);
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_newer_version_and_rows_of_nonsense() {
    let options = Options { workers: 1, lease_s: lease_s(), ..Options::default() };
    let storm = Storm::calm("unknown kinds, bad payloads", Cluster::start(options).await);
    let db = storm.cluster.db().clone();
    let insert = "INSERT INTO jobs (id, kind, queue, payload, max_attempts, run_at, created_at) \
         VALUES (?, ?, 'fetch', ?, 3, {now}, {now})";
    let row = async |kind: &str, payload: serde_json::Value| {
        let id = Uuid::now_v7();
        sql::execute(db.write(), insert, entity::args![id, kind, payload]).await.unwrap();
        id
    };
    let unknown = row("from_the_future", serde_json::json!({ "what": "ever" })).await;
    // Its workers work on no pictures: rows about these are not theirs.
    let theirs = |kind: &&Kind| kind.policy().queue != Queue::Media;
    let kinds: Vec<&str> = Kind::ALL.iter().filter(theirs).map(|kind| kind.as_str()).collect();
    let mut nonsense = vec![];
    for n in 0..lasting(40, 400).as_secs() {
        let payload = nonsense_payload(n);
        for kind in &kinds {
            nonsense.push((row(kind, payload.clone()).await, *kind));
        }
    }
    storm.acknowledged(nonsense.iter().map(|(id, _)| *id)).await;
    storm.acknowledged(submit_noops(&storm.cluster.jobs, 20, 1).await).await;
    storm.until("jobs WHERE error_code = 'bad_payload'", 40).await;
    let left = format!("jobs WHERE id = '{unknown}' AND state = 'queued' AND run = 0");
    assert_eq!(storm.cluster.count(&left).await, 1, "left alone");
    // What it is about is said to whoever asks; then it may go.
    let (_, admin) = storm.cluster.token("admin").await;
    let path = format!("/api/v1/jobs/{unknown}");
    let view = storm.cluster.get(&path, &admin).send().await.unwrap();
    let view = tests::cluster::json(view, 200).await;
    assert_eq!(view["waiting_reason"], "no live worker runs from_the_future");
    let gone = "DELETE FROM jobs WHERE kind = 'from_the_future'";
    sql::execute(db.write(), gone, vec![]).await.unwrap();
    storm.end().await;
}

/// Something that no version ever wrote.
fn nonsense_payload(n: u64) -> serde_json::Value {
    use serde_json::json;
    match n % 8 {
        0 => json!(null),
        1 => json!([]),
        2 => json!({}),
        3 => json!({ "username": rand::random::<u64>() }),
        4 => json!({ "username": "a".repeat(1 + (n as usize * 37) % 5_000) }),
        5 => json!({ "usernames": [1, 2, { "three": [] }], "ms": -1 }),
        6 => json!({ "username": "\u{202e}drop table\u{0007}", "ms": 1e300, "fail": "no" }),
        _ => json!({ "usernames": vec!["no name"; 2_000], "key": { "a": 1 } }),
    }
}
