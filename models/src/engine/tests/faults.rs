//! Analyzers that panic, answer nonsense, hang or take their thread with them.

use super::*;

/// Longer than a batch of four may run.
const LONG: Duration = Duration::from_secs(30 + 4 * 10);

#[tokio::test]
async fn a_caption_that_breaks_its_batch_is_found_and_the_others_have_their_answers() {
    let (engine, script) = ready(small());
    assert_eq!(texts(ask(&engine, &["a", "poison", "b"])).await, ["a", PANICKED, "b"]);
    assert_eq!(texts(ask(&engine, &["c"])).await, ["c"]);
    let state = engine.state();
    assert_eq!((state.offences, state.restarts, state.done[&Tier::Lite]), (1, 0, 3));
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_number_or_one_too_few_is_an_offence() {
    let (engine, _) = ready(small());
    let no_number = "the model failed on this text: answered with something that is no number";
    assert_eq!(texts(ask(&engine, &["a", "nan"])).await, ["a", no_number]);
    let too_few = "the model failed on this text: 0 answers for 1 captions";
    assert_eq!(texts(ask(&engine, &["a", "short", "b"])).await, ["a", too_few, "b"]);
}

#[tokio::test]
async fn an_offence_is_not_remembered() {
    let (engine, script) = ready(small());
    texts(ask(&engine, &["poison"])).await;
    texts(ask(&engine, &["poison"])).await;
    assert_eq!(script.calls(), [["poison"], ["poison"]]);
}

#[tokio::test]
async fn an_analyzer_that_panics_on_two_different_batches_is_loaded_anew() {
    let (engine, script) = ready(small());
    // From here on the analyzer panics on everything.
    assert_eq!(texts(ask(&engine, &["shaking"])).await, [PANICKED]);
    assert_eq!(script.loads(), 1, "one batch says nothing yet");
    assert_eq!(texts(ask(&engine, &["a", "b"])).await, ["a", "b"], "a fresh one answers");
    assert_eq!((script.loads(), engine.state().restarts), (2, 1));
}

#[tokio::test]
async fn the_same_caption_again_says_nothing_about_the_analyzer() {
    let (engine, script) = ready(small());
    assert_eq!(texts(ask(&engine, &["poison"])).await, [PANICKED]);
    assert_eq!(texts(ask(&engine, &["a", "poison"])).await, ["a", PANICKED]);
    assert_eq!(texts(ask(&engine, &["b", "poison"])).await, ["b", PANICKED]);
    assert_eq!(script.loads(), 1);
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_lost_and_then_asked_for_one_by_one() {
    let (engine, script) = ready(small());
    script.tell(|told| told.broken = true);
    assert_eq!(end(ask(&engine, &["a", "b"])).await, Err(EngineError::Lost));
    script.tell(|told| told.broken = false);
    assert_eq!(texts(ask(&engine, &["a", "b"])).await, ["a", "b"]);
    assert_eq!(script.calls()[3..], [["a"], ["b"]], "each of them may be the one");
    assert_eq!(texts(ask(&engine, &["a", "b", "c"])).await, ["a", "b", "c"]);
    assert_eq!(engine.state().lost, 2);
}

#[tokio::test]
async fn a_hanging_batch_is_given_up_and_the_others_go_on() {
    let (engine, script) = ready(small());
    script.tell(|told| told.stuck = ["hang".into()].into());
    let hangs = ask(&engine, &["hang"]);
    script.call(0);
    let waits = ask(&engine, &["a", "b"]);
    advance(&engine, Duration::from_secs(39));
    assert_eq!(engine.state().hung, 0, "one caption may take 40 s");
    advance(&engine, Duration::from_secs(1));
    assert_eq!(end(hangs).await, Err(EngineError::Lost));
    assert_eq!(texts(waits).await, ["a", "b"], "a fresh thread took over");
    let state = engine.state();
    assert_eq!((state.hung, state.restarts, state.replace), (1, 1, None));
    // It was slow, not dead.
    script.tell(|told| told.stuck.clear());
    until(&engine, |state| state.hung == 0);
    assert_eq!(texts(ask(&engine, &["hang"])).await, ["hang"]);
}

#[tokio::test]
async fn a_hanging_caption_shares_no_batch_when_it_is_asked_for_again() {
    let (engine, script) = ready(Settings { hung: 3, ..small() });
    script.tell(|told| told.stuck = ["hang".into()].into());
    let first = ask(&engine, &["a", "hang"]);
    script.call(0);
    advance(&engine, LONG);
    assert_eq!(end(first).await, Err(EngineError::Lost));
    let again = ask(&engine, &["hang", "a"]);
    let healthy = ask(&engine, &["b"]);
    assert_eq!(script.call(1), ["hang"]);
    advance(&engine, LONG);
    let offence = "the model failed on this text: its thread hung";
    assert_eq!(texts(again).await, [offence, "a"], "now it is known to be the one");
    assert_eq!(texts(healthy).await, ["b"]);
    assert_eq!(engine.state().hung, 2);
}

#[tokio::test]
async fn with_two_hung_threads_the_process_is_to_be_replaced() {
    let (engine, script) = ready(Settings { threads: 2, batch: 1, ..small() });
    until(&engine, |state| state.threads == 2);
    script.tell(|told| told.held = true);
    let hang = ask(&engine, &["a", "b"]);
    script.call(1);
    let waits = ask(&engine, &["c"]);
    advance(&engine, LONG);
    assert_eq!(end(hang).await, Err(EngineError::Lost));
    assert_eq!(end(waits).await, Err(EngineError::Stopped));
    let state = engine.state();
    assert_eq!((state.status, state.hung), (Status::Stopped, 2));
    assert_eq!(state.replace.unwrap(), "2 inference threads hang");
    tokio::time::timeout(DEADLINE, engine.stop()).await.expect("what hangs is not waited for");
}

#[tokio::test]
async fn a_thread_that_dies_loses_its_batch_alone_and_is_started_anew() {
    let (engine, script) = ready(small());
    script.tell(|told| told.held = true);
    let dies = ask(&engine, &["bomb"]);
    script.call(0);
    let waits = ask(&engine, &["a"]);
    script.tell(|told| told.held = false);
    assert_eq!(end(dies).await, Err(EngineError::Lost));
    assert_eq!(texts(waits).await, ["a"]);
    assert_eq!((script.loads(), engine.state().restarts), (2, 1));
    let offence = "the model failed on this text: its thread died";
    assert_eq!(texts(ask(&engine, &["bomb", "b"])).await, [offence, "b"]);
}

#[tokio::test]
async fn a_load_that_hangs_is_given_up_too() {
    let (full, rules) = (Arc::<Script>::default(), Arc::default());
    full.tell(|told| told.load_held = true);
    let engine = start(&[(Tier::Full, &full), (Tier::Rules, &rules)], small());
    let waits = ask(&engine, &["a"]);
    full.until(|told| (told.loads == 1).then_some(()));
    assert_eq!(engine.state().tiers[0].loading, Some(40));
    advance(&engine, Duration::from_mins(10));
    assert_eq!(told(waits).await, [("a".into(), Some(Tier::Rules))]);
    assert_eq!(engine.state().why.unwrap(), "full: loading hangs");
}
