//! A front door that is stopped while people wait.

use std::time::{Duration, Instant};

use api::process::FrontDoor;
use api::settings::ApiSettings;
use jobs::process::{Env, Secret, Settings};
use serde_json::{Value, json};
use tests::{PATIENCE, System};

use crate::common::{job, refresh, submit, token};

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_and_streams_end_when_the_front_door_stops() {
    let system = System::builder().workers(0).start().await;
    let id = submit(&system.as_user("dana").await, "demo_travel").await;
    let api = ApiSettings {
        http_addr: "127.0.0.1:0".parse().unwrap(),
        // The secret of every `System`.
        jwt_secret: Some(Secret::new("a secret for tests, thirty-two bytes")),
        cors_origins: vec![],
        supabase: None,
        cdn_public_url: None,
        rate_limits: true,
        trusted_proxies: api::Proxies::default(),
    };
    let data = ("FARM_DATA_DIR".to_owned(), system.path("data").display().to_string());
    let settings = Settings::read(&Env::of([data]).unwrap()).unwrap();
    let front = FrontDoor::open(&settings, &api, system.jobs.clone(), None).await.unwrap();
    let (dana, admin) = (token(&system, "dana", 600).await, token(&system, "admin", 600).await);
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let url = |path: &str| format!("http://{}{path}", front.addr);
    let events = client.get(url(&job(id, "/events"))).bearer_auth(&dana).send().await.unwrap();
    let live = client.get(url("/api/v1/workers/live-stream")).bearer_auth(&admin);
    let live = live.send().await.unwrap();
    let held = |request: reqwest::RequestBuilder| {
        let request = request.bearer_auth(&dana).header("prefer", "wait=25");
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        })
    };
    let poll = held(client.get(url(&job(id, ""))));
    let post = client.post(url(&refresh("demo_food"))).header("idempotency-key", "k");
    let post = held(post);
    tests::eventually("both are held", || async {
        // The stream and the poll follow the same job.
        (system.jobs.watch().waited_for() == 2 && !poll.is_finished()).then_some(())
    })
    .await;
    // The poll has no place of its own to be seen at.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = Instant::now();
    front.stop();
    let (status, accepted) = post.await.unwrap();
    assert_eq!((status, &accepted["state"]), (202, &json!("queued")));
    let (status, same) = poll.await.unwrap();
    assert_eq!((status, &same["state"]), (200, &json!("queued")));
    assert!(events.text().await.unwrap().contains("event: queued"), "read to its end");
    live.text().await.unwrap();
    front.close().await;
    assert!(stopped.elapsed() < Duration::from_secs(3), "{:?}", stopped.elapsed());
    assert_eq!(system.jobs.watch().waited_for(), 0);
    system.end_with_open_jobs().await;
}
