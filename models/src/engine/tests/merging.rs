//! How requests become batches.

use super::*;

/// An engine whose thread computes "first" until it is let go.
fn busy(settings: Settings) -> (Engine, Arc<Script>, Asked) {
    let (engine, script) = ready(settings);
    script.tell(|told| told.held = true);
    let first = ask(&engine, &["first"]);
    script.call(0);
    (engine, script, first)
}

#[tokio::test]
async fn captions_of_different_callers_share_a_batch_and_each_gets_its_own() {
    let (engine, script, first) = busy(small());
    let (one, other) = (ask(&engine, &["a", "b"]), ask(&engine, &["c", "d"]));
    assert_eq!(engine.state().queue, 4);
    script.tell(|told| told.held = false);
    assert_eq!(texts(first).await, ["first"]);
    assert_eq!(texts(other).await, ["c", "d"]);
    assert_eq!(texts(one).await, ["a", "b"]);
    let mut shared = script.call(1);
    shared.sort();
    assert_eq!(shared, ["a", "b", "c", "d"]);
    assert_eq!(script.calls().len(), 2);
    let state = engine.state();
    assert_eq!((state.queue, state.batch_p50), (0, Some(1)));
    assert_eq!((state.done[&Tier::Lite], state.methods[&Method::Hybrid]), (5, 5));
}

#[tokio::test]
async fn an_idle_engine_waits_a_moment_for_company() {
    let window = Duration::from_millis(20);
    let (engine, script) = ready(Settings { window, ..small() });
    let one = ask(&engine, &["a"]);
    advance(&engine, window / 2);
    let other = ask(&engine, &["b"]);
    assert_eq!(engine.state().queue, 2, "nothing is computed before the window ends");
    advance(&engine, window / 2);
    assert_eq!((texts(one).await, texts(other).await), (vec!["a".into()], vec!["b".into()]));
    assert_eq!(script.calls(), [["a", "b"]]);
}

#[tokio::test]
async fn a_full_batch_does_not_wait_for_the_window() {
    let (engine, _) = ready(Settings { window: Duration::from_millis(20), ..small() });
    assert_eq!(texts(ask(&engine, &["a", "b", "c", "d"])).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn answers_are_in_the_order_of_the_captions_however_they_were_batched() {
    let mixed: Vec<String> = (0..40).map(|n| "x".repeat(1 + n * 7 % 40)).collect();
    let mixed: Vec<&str> = mixed.iter().map(String::as_str).collect();
    for batch in [1, 3, 16, 64] {
        for threads in [1, 3] {
            let (engine, script) = ready(Settings { threads, batch, ..small() });
            assert_eq!(texts(ask(&engine, &mixed)).await, mixed);
            assert!(script.calls().iter().all(|call| call.len() <= batch));
        }
    }
}

#[tokio::test]
async fn captions_of_about_the_same_length_go_together_within_the_token_budget() {
    let cost = |caption: &Prepared| caption.text.len();
    let (engine, script, _first) = busy(Settings { cost, tokens: 60, batch: 8, ..small() });
    let lengths = [20, 3, 21, 2, 19, 4, 100];
    let words: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let all = ask(&engine, &words);
    script.tell(|told| told.held = false);
    assert_eq!(texts(all).await, words);
    let lengths = |call: &Vec<String>| {
        let mut lengths: Vec<usize> = call.iter().map(String::len).collect();
        lengths.sort_unstable();
        lengths
    };
    let batches: Vec<_> = script.calls()[1..].iter().map(lengths).collect();
    // 20 × 3 = 60 tokens; 21 × 3 would be more. What is longer than the budget runs alone.
    assert_eq!(batches, [vec![4, 19, 20], vec![2, 3], vec![21], vec![100]]);
}

#[tokio::test]
async fn a_small_request_is_not_behind_all_of_a_large_one() {
    let (engine, script, _first) = busy(small());
    let large: Vec<String> = (0..400).map(|n| format!("large {n:03}")).collect();
    let large: Vec<&str> = large.iter().map(String::as_str).collect();
    let large = ask(&engine, &large);
    let small = ask(&engine, &["small one", "small two"]);
    script.tell(|told| told.held = false);
    assert_eq!(texts(small).await, ["small one", "small two"]);
    let calls = script.calls();
    let last = calls.iter().rposition(|call| call.iter().any(|text| text.starts_with("small")));
    assert!(last.unwrap() <= 4, "its two turns are within the first four batches: {calls:?}");
    assert_eq!(end(large).await.unwrap().len(), 400);
}

#[tokio::test]
async fn equal_captions_are_computed_once_while_they_wait_and_run_and_afterwards() {
    let (engine, script, first) = busy(small());
    let running = ask(&engine, &["first"]);
    let twice = ask(&engine, &["same", "same"]);
    let again = ask(&engine, &["other", "same"]);
    assert_eq!(engine.state().queue, 2);
    script.tell(|told| told.held = false);
    assert_eq!(texts(first).await, texts(running).await);
    assert_eq!(texts(twice).await, ["same", "same"]);
    assert_eq!(texts(again).await, ["other", "same"]);
    assert_eq!(texts(ask(&engine, &["same", "first"])).await, ["same", "first"]);
    assert_eq!(script.calls().concat().len(), 3);
    assert_eq!((engine.state().cache.hits, engine.state().cache.answers), (2, 3));
}

#[tokio::test]
async fn an_answer_is_forgotten_after_a_week() {
    let (engine, script) = ready(small());
    texts(ask(&engine, &["a"])).await;
    advance(&engine, Duration::from_hours(7 * 24) - Duration::from_secs(1));
    texts(ask(&engine, &["a"])).await;
    assert_eq!(script.calls().len(), 1);
    advance(&engine, Duration::from_secs(1));
    texts(ask(&engine, &["a"])).await;
    assert_eq!(script.calls().len(), 2);
}

#[tokio::test]
async fn the_same_text_with_other_hashtags_is_another_caption() {
    let (engine, script) = ready(small());
    texts(ask(&engine, &["a"])).await;
    let tagged = vec![Prepared { text: "a".into(), hashtags: vec!["tag".into()] }];
    end(Box::pin(engine.analyze(tagged, CancellationToken::new()))).await.unwrap();
    assert_eq!(script.calls().len(), 2);
}

#[tokio::test]
async fn few_captions_are_shared_out_among_idle_threads() {
    let script = Arc::<Script>::default();
    script.tell(|told| told.held = true);
    let engine = start(&[(Tier::Lite, &script)], Settings { threads: 2, batch: 16, ..small() });
    until(&engine, |state| state.threads == 2);
    let asked = ask(&engine, &["a", "b", "c", "d", "e", "f"]);
    until(&engine, |state| state.queue == 0);
    script.tell(|told| told.held = false);
    assert!(end(asked).await.is_ok());
    assert_eq!(engine.state().batch_p50, Some(3), "three each, though one could have had all");
}
