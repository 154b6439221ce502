//! Many ask for one creator at the same moment.

use std::time::Duration;

use farm::demo::Scripted;
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{fetched, id_of, job, posts, profile, refresh};

async fn watchers(system: &System) -> i64 {
    system.count("SELECT count(*) AS n FROM job_watchers WHERE left_at IS NULL").await
}

async fn jobs(system: &System) -> i64 {
    system.count("SELECT count(*) AS n FROM jobs").await
}

async fn can_read_everything(client: &Client, handle: &str, id: Uuid) {
    let shown = client.get(&profile(handle)).await.expect(200);
    assert_eq!(shown.json["access"], "full");
    assert_eq!(client.get(&posts(handle)).await.expect(200).json["total"], 12);
    assert_eq!(client.get(&job(id, "")).await.expect(200).json["state"], "succeeded");
    let result = client.get(&job(id, "/result")).await.expect(200);
    assert_eq!(result.json["username"], handle);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_at_once_cost_one_provider_call() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    // Long enough that the second one comes while the first one's call is under way.
    let slow = Scripted::Delay(Duration::from_millis(700), Box::new(Scripted::Profile));
    system.demo.script("somebody.new", vec![slow]);
    let waiting = dana.with("prefer", "wait=20");
    let (path, fetch) =
        (refresh("somebody.new"), format!("{}?fetch=true", profile("somebody.new")));
    let (refreshed, shown) = tokio::join!(waiting.post(&path), emil.get(&fetch));
    let id = id_of(&refreshed.expect(200).json);
    assert_eq!(shown.expect(200).json["access"], "full");
    assert_eq!(system.demo.calls_for("somebody.new"), 1);
    assert_eq!((jobs(&system).await, watchers(&system).await), (1, 2));
    for client in [&dana, &emil] {
        can_read_everything(client, "somebody.new", id).await;
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_refreshes_of_something_fresh_cost_one_call_more() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    fetched(&system, &dana, "somebody.new").await;
    let slow = Scripted::Delay(Duration::from_millis(700), Box::new(Scripted::Profile));
    system.demo.script("somebody.new", vec![slow]);
    let (dana, emil) = (dana.with("prefer", "wait=20"), emil.with("prefer", "wait=20"));
    let path = refresh("somebody.new");
    let (hers, his) = tokio::join!(dana.post(&path), emil.post(&path));
    assert_eq!(id_of(&hers.expect(200).json), id_of(&his.expect(200).json));
    assert_eq!(system.demo.calls_for("somebody.new"), 2);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_cost_one_provider_call() {
    // The worker comes when all have asked, so that nobody can be too late to join.
    let mut system = System::builder().workers(0).start().await;
    let mut users = vec![];
    for name in ["dana", "emil", "fay", "gus"] {
        users.push(system.as_user(name).await);
    }
    let racers = (0..64_usize).map(|n| {
        let client = users[n % users.len()].clone();
        tokio::spawn(async move {
            if n % 8 < 4 {
                client.post(&refresh("somebody.new")).await
            } else {
                client.get(&format!("{}?fetch=true&wait=0", profile("somebody.new"))).await
            }
        })
    });
    let mut ids = vec![];
    let mut created = 0;
    for racer in racers.collect::<Vec<_>>() {
        let answer = racer.await.unwrap().expect(202);
        created += usize::from(answer.json["created"] == true);
        ids.push(id_of(&answer.json));
    }
    assert_eq!(created, 1);
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!((jobs(&system).await, watchers(&system).await), (1, 4));
    system.add_worker().await;
    system.finish(ids[0]).await;
    assert_eq!(system.demo.calls_for("somebody.new"), 1);
    for client in &users {
        can_read_everything(client, "somebody.new", ids[0]).await;
    }
    system.end().await;
}
