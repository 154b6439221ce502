//! Full queues, callers who leave, and the end.

use super::*;

/// An engine whose thread is held on "first", with room for four more.
fn held() -> (Engine, Arc<Script>, Asked) {
    let (engine, script) = ready(Settings { queue: 4, ..small() });
    script.tell(|told| told.held = true);
    let first = ask(&engine, &["first"]);
    script.call(0);
    (engine, script, first)
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_whole_requests() {
    let (engine, script, first) = held();
    let fits = ask(&engine, &["a", "b", "c"]);
    let refused = end(ask(&engine, &["d", "e"])).await.unwrap_err();
    assert_eq!(refused, EngineError::Overloaded { retry_after: Duration::from_secs(5) });
    assert_eq!(engine.state().queue, 3, "no part of it was taken");
    let known = ask(&engine, &["a", "b", "c", "a", "b", "c"]);
    let last = ask(&engine, &["d"]);
    script.tell(|told| told.held = false);
    assert_eq!(texts(fits).await, ["a", "b", "c"]);
    assert_eq!(texts(known).await.len(), 6, "what waits already takes no room");
    assert_eq!((texts(last).await, texts(first).await), (vec!["d".into()], vec!["first".into()]));
}

#[tokio::test]
async fn a_request_larger_than_the_queue_is_taken_when_nothing_waits() {
    let (engine, script, _first) = held();
    let large = ask(&engine, &["a", "b", "c", "d", "e", "f"]);
    let refused = end(ask(&engine, &["g"])).await;
    assert!(matches!(refused, Err(EngineError::Overloaded { .. })));
    script.tell(|told| told.held = false);
    assert_eq!(texts(large).await.len(), 6);
}

#[tokio::test]
async fn who_is_refused_is_told_to_wait_for_half_the_queue() {
    let (engine, script) = ready(Settings { queue: 400, ..small() });
    for second in 0..10 {
        texts(ask(&engine, &[&format!("a{second}"), &format!("b{second}")])).await;
        advance(&engine, Duration::from_secs(1));
    }
    assert!((engine.state().posts_per_hour - 7_200.0).abs() < 1e-6, "two captions a second");
    script.tell(|told| told.held = true);
    let _first = ask(&engine, &["first"]);
    script.call(10);
    let many: Vec<String> = (0..60).map(|n| format!("many {n}")).collect();
    let _many = ask(&engine, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let more: Vec<String> = (0..400).map(|n| format!("more {n}")).collect();
    let refused = end(ask(&engine, &more.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let retry_after = Duration::from_secs(15);
    assert_eq!(refused, Err(EngineError::Overloaded { retry_after }));
}

#[tokio::test]
async fn captions_of_callers_who_left_are_not_computed() {
    let (engine, script, first) = held();
    let dropped = ask(&engine, &["dropped"]);
    let cancel = CancellationToken::new();
    let cancelled = Box::pin(engine.analyze(captions(&["cancelled", "wanted"]), cancel.clone()));
    let wanted = ask(&engine, &["wanted"]);
    drop(dropped);
    cancel.cancel();
    assert_eq!(end(cancelled).await, Err(EngineError::Cancelled));
    script.tell(|told| told.held = false);
    assert_eq!(
        (texts(wanted).await, texts(first).await),
        (vec!["wanted".into()], vec!["first".into()])
    );
    assert_eq!(script.calls(), [["first"], ["wanted"]]);
}

#[tokio::test]
async fn callers_who_left_make_room() {
    let (engine, script, _first) = held();
    drop(ask(&engine, &["a", "b", "c", "d"]));
    let next = ask(&engine, &["e", "f", "g", "h"]);
    script.tell(|told| told.held = false);
    assert_eq!(texts(next).await, ["e", "f", "g", "h"]);
    assert_eq!(script.calls().concat().len(), 5);
}

#[tokio::test]
async fn a_caption_given_up_by_one_caller_is_computed_anew_for_the_next() {
    let (engine, script, _first) = held();
    drop(ask(&engine, &["a"]));
    let again = ask(&engine, &["a"]);
    script.tell(|told| told.held = false);
    assert_eq!(texts(again).await, ["a"]);
}

#[tokio::test]
async fn stopping_ends_the_batch_under_way_and_answers_the_rest() {
    let (engine, script, first) = held();
    let waiting = ask(&engine, &["a"]);
    let mut stop = Box::pin(engine.stop());
    assert!(futures_pending(&mut stop), "a batch is under way");
    assert_eq!(end(waiting).await, Err(EngineError::Stopped));
    assert_eq!(end(ask(&engine, &["b"])).await, Err(EngineError::Stopped));
    script.tell(|told| told.held = false);
    assert_eq!(texts(first).await, ["first"]);
    tokio::time::timeout(DEADLINE, stop).await.expect("it stops");
    let state = engine.state();
    assert_eq!((state.status, state.replace), (Status::Stopped, None));
    assert_eq!(script.calls().len(), 1);
}

fn futures_pending(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut context).is_pending()
}

#[tokio::test]
async fn dropping_the_last_handle_stops_it() {
    let (engine, _script, first) = held();
    let waiting = ask(&engine, &["a"]);
    drop(engine.clone());
    assert_eq!(engine.state().queue, 1, "a handle is left");
    drop(engine);
    assert_eq!(end(waiting).await, Err(EngineError::Stopped));
    drop(first);
}

#[tokio::test]
async fn nothing_asked_is_nothing_answered() {
    let (engine, script) = ready(small());
    assert_eq!(end(ask(&engine, &[])).await, Ok(Vec::new()));
    assert!(script.calls().is_empty());
}
