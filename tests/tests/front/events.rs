//! A job as a stream of events.

use std::time::{Duration, Instant};

use entity::job::progress::{self, Progress};
use entity::{args, job_watcher, sql};
use farm::demo::Scripted;
use futures_util::future::join_all;
use jobs::kinds::noop::Noop;
use jobs::submit::{Options, new_job};
use serde_json::{Value, json};
use tests::System;
use uuid::Uuid;

use crate::common::{Stream, check_refusal, fetched, id_of, job, noop, submit, token};

fn events(id: Uuid) -> String {
    job(id, "/events")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_of_every_state_and_ends_with_the_job() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let mut stream = Stream::open(&dana, &events(id)).await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.word.as_str(), &first.data["state"]), ("queued", &json!("queued")));
    assert_eq!(first.data, dana.get(&job(id, "")).await.expect(200).json, "the job view");
    system.add_worker().await;
    let rest = stream.rest().await;
    let (last, between) = rest.split_last().unwrap();
    assert_eq!((last.word.as_str(), &last.data["done"]), ("succeeded", &json!(true)));
    assert!(between.iter().all(|event| event.data["done"] == false), "{between:?}");
    let mut version = first.data["version"].as_i64().unwrap();
    for event in &rest {
        assert_eq!(event.data["state"], event.word);
        assert_eq!(event.id, event.data["version"].to_string());
        assert!(event.data["version"].as_i64().unwrap() >= version, "never back: {rest:?}");
        version = event.data["version"].as_i64().unwrap();
    }
    assert_eq!(last.data, dana.get(&job(id, "")).await.expect(200).json);
    assert_eq!(system.jobs.watch().waited_for(), 0, "nothing is left behind");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_sends_its_last_event_and_ends() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    for (handle, state) in [("demo_travel", "succeeded"), ("demo_missing", "failed")] {
        let view = fetched(&system, &dana, handle).await;
        let known = dana.with("last-event-id", &view["version"].to_string());
        for client in [&dana, &known] {
            let all = Stream::open(client, &events(id_of(&view))).await.rest().await;
            assert_eq!(all.len(), 1, "{all:?}");
            assert_eq!((all[0].word.as_str(), &all[0].data), (state, &view));
        }
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_told_what_is_new() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&dana, "demo_travel").await;
    let old = Stream::open(&dana, &events(id)).await.next().await.unwrap();
    submit(&emil, "demo_travel").await; // a new version
    let back = dana.with("last-event-id", &old.id);
    let missed = Stream::open(&back, &events(id)).await.next().await.unwrap();
    assert!(missed.data["version"].as_i64() > old.data["version"].as_i64());
    let mut quiet = Stream::open(&dana.with("last-event-id", &missed.id), &events(id)).await;
    // Why it waits may have changed under the same version.
    assert_eq!(quiet.next().await.unwrap().data, missed.data);
    // Longer than the look that covers lost signals.
    quiet.silent_for(Duration::from_millis(2_500)).await;
    for strange in ["", "x", "-1", "99999999999999999999999", "1; DROP TABLE jobs"] {
        let stranger = dana.with("last-event-id", strange);
        let first = Stream::open(&stranger, &events(id)).await.next().await.unwrap();
        assert_eq!(first.id, missed.id, "{strange:?} is passed over");
    }
    system.add_worker().await;
    let rest = quiet.rest().await;
    assert_eq!(rest.last().unwrap().word, "succeeded");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_job_has_no_stream() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let admin = system.as_user("admin").await;
    let id = submit(&dana, "demo_travel").await;
    check_refusal(&emil.get(&events(id)).await.expect_problem(404, "job_not_found"));
    check_refusal(&dana.get(&events(Uuid::now_v7())).await.expect_problem(404, "job_not_found"));
    check_refusal(&dana.get("/api/v1/jobs/x/events").await.expect_problem(400, "invalid_input"));
    system.api().get(&events(id)).await.expect(401);
    assert_eq!(Stream::open(&admin, &events(id)).await.next().await.unwrap().word, "queued");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_shared_job_is_told_so_and_the_other_goes_on() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&dana, "demo_travel").await;
    submit(&emil, "demo_travel").await;
    let mut hers = Stream::open(&dana, &events(id)).await;
    let mut his = Stream::open(&emil, &events(id)).await;
    hers.next().await.unwrap();
    dana.post(&job(id, "/cancel")).await.expect(200);
    assert_eq!(hers.rest().await.last().unwrap().word, "cancelled");
    system.add_worker().await;
    assert_eq!(his.rest().await.last().unwrap().word, "succeeded");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_tells_of_its_childrens_progress() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    for name in ["one", "two"] {
        system.demo.script(name, vec![Scripted::Hang]);
    }
    let names = json!({ "usernames": ["one", "two"] });
    let answer = dana.post_json("/api/v1/analytics/bulk/profiles", names).await.expect(202);
    let id = id_of(&answer.json);
    let mut stream = Stream::open(&dana, &events(id)).await;
    let both = |view: &Value| view["children"]["total"] == 2;
    stream.until("it has children", both).await;
    let children = job_watcher::children(system.db().read(), id).await.unwrap();
    for child in &children {
        system.job_when(*child, "a child runs", |job| job.worker.is_some()).await;
    }
    // Whatever is still on its way, the look that covers lost signals included.
    stream.drain(Duration::from_millis(2_500)).await;
    let before = dana.get(&job(id, "")).await.expect(200).json;
    let running = system.job(children[0]).await;
    let further = Progress { stage: "store", done: 2 };
    let db = system.db().write();
    progress::write(db, &[(running.fence(), further)]).await.unwrap();
    let done = |view: &Value| view["progress"]["done"].as_i64().unwrap();
    let after = stream.until("a child came further", |view| done(view) == 2).await;
    assert_eq!(after.data["version"], before["version"], "its own row is as it was");
    // Who comes back may have missed it, under the same version.
    let back = dana.with("last-event-id", &after.id);
    assert_eq!(Stream::open(&back, &events(id)).await.next().await.unwrap().data, after.data);
    dana.post(&job(id, "/cancel")).await.expect(200);
    assert!(stream.rest().await.last().unwrap().data["done"].as_bool().unwrap());
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_cost_no_more_than_their_places() {
    const STREAMS: usize = 1_000;
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let user_id = Some(system.user("dana").await.id);
    let options = Options { user_id, ..Options::default() };
    let jobs: Vec<_> = (0..STREAMS).map(|_| new_job(&Noop::default(), &options).unwrap()).collect();
    let jobs = system.jobs.submit_many(&jobs).await.unwrap();
    let mut streams = vec![];
    for job in &jobs {
        let mut stream = Stream::open(&dana, &events(job.id)).await;
        assert_eq!(stream.next().await.unwrap().word, "queued");
        streams.push(stream);
    }
    assert_eq!(system.jobs.watch().waited_for(), STREAMS);
    // All wait at once: if each of them held a connection, nobody else would get one, and be told
    // so after a few seconds.
    let waiting: Vec<_> = streams
        .into_iter()
        .map(|mut stream| tokio::spawn(async move { stream.rest().await }))
        .collect();
    dana.get(&job(jobs[0].id, "")).await.expect(200);
    system.add_worker().await;
    for stream in waiting {
        assert_eq!(stream.await.unwrap().last().unwrap().word, "succeeded");
    }
    assert_eq!(system.jobs.watch().waited_for(), 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_comes_when_nothing_else_does() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = noop(&system, "dana", &Noop::default()).await;
    let mut stream = Stream::open(&dana, &events(id)).await;
    let opened = Instant::now();
    assert_eq!(stream.next().await.unwrap().word, "queued");
    assert_eq!(stream.block().await.as_deref(), Some(":"));
    let after = opened.elapsed();
    assert!(after > Duration::from_secs(14) && after < Duration::from_secs(20), "{after:?}");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_it_was_opened_with() {
    let system = System::builder().workers(0).start().await;
    let id = submit(&system.as_user("dana").await, "demo_travel").await;
    // Let in, though it has just run out: clocks differ by a few seconds.
    let ending = |token: String| system.api().with("authorization", &format!("Bearer {token}"));
    let dana = ending(token(&system, "dana", 0).await);
    let admin = ending(token(&system, "admin", 0).await);
    let opened = Instant::now();
    let mut hers = Stream::open(&dana, &events(id)).await;
    let mut live = Stream::open(&admin, "/api/v1/workers/live-stream").await;
    assert_eq!(hers.next().await.unwrap().word, "queued");
    assert!(hers.rest().await.is_empty());
    live.rest().await;
    assert!(opened.elapsed() < Duration::from_secs(10), "{:?}", opened.elapsed());
    assert_eq!(system.jobs.watch().waited_for(), 0);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_no_longer_look_is_not_told_more() {
    let system = System::builder().workers(0).start().await;
    let live = "/api/v1/workers/live-stream";
    let mut ends = vec![];
    for (user, change) in [
        ("dana", "status = 'suspended'"),
        ("admin1", "status = 'suspended'"),
        ("admin2", "role = 'user'"),
    ] {
        let client = system.as_user(user).await;
        let id = noop(&system, user, &Noop::default()).await;
        let mut stream = Stream::open(&client, &events(id)).await;
        stream.next().await.unwrap();
        ends.push(stream);
        if user != "dana" {
            ends.push(Stream::open(&client, live).await);
        }
        let update = format!("UPDATE users SET {change} WHERE id = ?");
        let who = system.user(user).await.id;
        sql::execute(system.db().write(), &update, args![who]).await.unwrap();
    }
    let emil = system.as_user("emil").await;
    let mut stays =
        Stream::open(&emil, &events(noop(&system, "emil", &Noop::default()).await)).await;
    stays.next().await.unwrap();
    let changed = Instant::now();
    join_all(ends.iter_mut().map(Stream::rest)).await;
    assert!(changed.elapsed() < Duration::from_secs(25), "{:?}", changed.elapsed());
    stays.silent_for(Duration::from_millis(100)).await;
    system.end_with_open_jobs().await;
}
