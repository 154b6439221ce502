//! Which tier answers.

use super::*;

const FULL: Option<Tier> = Some(Tier::Full);
const RULES: Option<Tier> = Some(Tier::Rules);

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

async fn by(engine: &Engine, text: &str) -> Option<Tier> {
    told(ask(engine, &[text])).await[0].1
}

/// An engine of full and rules.
fn two(full: &Arc<Script>, settings: Settings) -> (Engine, Arc<Script>) {
    let rules = Arc::default();
    (start(&[(Tier::Rules, &rules), (Tier::Full, full)], settings), rules)
}

#[tokio::test]
async fn the_best_tier_serves_and_says_what_it_is_made_of() {
    let full = Arc::<Script>::default();
    full.tell(|told| told.load_held = true);
    let (engine, rules) = two(&full, Settings { threads: 2, ..small() });
    assert_eq!(engine.state().status, Status::Loading);
    let waits = ask(&engine, &["a"]);
    full.tell(|told| told.load_held = false);
    assert_eq!(told(waits).await, [("a".into(), FULL)]);
    let state = until(&engine, |state| state.threads == 2);
    assert_eq!((state.status, state.serving, state.wanted), (Status::Serving, FULL, FULL));
    assert_eq!((state.why, state.weights, rules.loads()), (None, 1_000, 0));
    assert_eq!((state.tiers[0].threads, state.tiers[0].bytes), (2, 1_000));
    assert_eq!(state.tiers[0].models[0].name, "fake-full");
    let shown = serde_json::to_value(engine.state()).unwrap();
    assert_eq!((&shown["serving"], &shown["done"]["full"]), (&"full".into(), &1.into()));
}

#[tokio::test]
async fn a_tier_that_cannot_be_loaded_is_tried_again_ever_more_rarely() {
    let full = Arc::<Script>::default();
    full.tell(|told| told.load = Some(LoadError::Missing("run farm models pull full".into())));
    let (engine, rules) = two(&full, small());
    assert_eq!(by(&engine, "a").await, RULES);
    let state = engine.state();
    assert_eq!((state.status, state.serving), (Status::Degraded, RULES));
    assert_eq!(state.why.unwrap(), "full: missing: run farm models pull full");
    for (loads, open) in [(2, 120), (3, 240), (4, 480), (5, 960), (6, 960)] {
        advance(&engine, Duration::from_secs(open - 1));
        assert_eq!(full.loads(), loads - 1);
        advance(&engine, Duration::from_secs(1));
        full.until(|told| (told.loads == loads).then_some(()));
        until(&engine, |state| state.tiers[0].breaker.state == Circuit::Open);
    }
    full.tell(|told| told.load = None);
    advance(&engine, minutes(16));
    let state = until(&engine, |state| state.serving == FULL);
    assert_eq!(
        (state.status, state.why, state.tiers[0].load_error.as_ref()),
        (Status::Serving, None, None)
    );
    assert_eq!(state.tiers[0].breaker.state, Circuit::Closed, "a good load is what was missing");
    assert_eq!(by(&engine, "a").await, FULL, "what rules answered is answered again");
    assert_eq!(rules.loads(), 1);
}

#[tokio::test]
async fn a_lower_tier_answers_while_a_better_one_is_loaded() {
    let full = Arc::<Script>::default();
    full.tell(|told| told.load = Some(LoadError::Corrupt("sha256".into())));
    let (engine, _) = two(&full, small());
    assert_eq!(by(&engine, "a").await, RULES);
    full.tell(|told| (told.load, told.load_held) = (None, true));
    advance(&engine, minutes(2));
    full.until(|told| (told.loads == 2).then_some(()));
    assert_eq!(by(&engine, "b").await, RULES);
    full.tell(|told| told.load_held = false);
    until(&engine, |state| state.serving == FULL);
    assert_eq!(by(&engine, "c").await, FULL);
}

/// Fails four batches in a row, so that the circuit opens.
async fn break_four(engine: &Engine) {
    for n in 0..4 {
        let lost = end(ask(engine, &[&format!("a{n}"), &format!("b{n}")])).await;
        assert_eq!(lost, Err(EngineError::Lost));
    }
}

#[tokio::test]
async fn a_tier_that_fails_four_batches_is_left_alone_until_three_are_good() {
    let full = Arc::<Script>::default();
    let (engine, _) = two(&full, small());
    full.tell(|told| told.broken = true);
    break_four(&engine).await;
    assert_eq!(by(&engine, "a0").await, RULES);
    let state = engine.state();
    assert_eq!((state.status, state.serving), (Status::Degraded, RULES));
    let why = "full: 4 batches in a row failed, the last one: the model failed on every caption";
    assert_eq!(state.why.as_deref(), Some(why));

    // The probe fails: rules once more, for twice as long.
    advance(&engine, minutes(2));
    until(&engine, |state| state.serving == FULL);
    assert_eq!(end(ask(&engine, &["c", "d"])).await, Err(EngineError::Lost));
    assert_eq!(engine.state().tiers[0].breaker.probe_in_ms, Some(240_000));
    assert_eq!(by(&engine, "c").await, RULES);

    full.tell(|told| told.broken = false);
    advance(&engine, minutes(4));
    until(&engine, |state| state.serving == FULL);
    for (text, circuit) in
        [("e", Circuit::HalfOpen), ("f", Circuit::HalfOpen), ("g", Circuit::Closed)]
    {
        assert_eq!(by(&engine, text).await, FULL);
        assert_eq!(until(&engine, |state| state.running == 0).tiers[0].breaker.state, circuit);
    }
    assert_eq!(by(&engine, "a0").await, FULL);
}

#[tokio::test]
async fn one_thread_alone_probes() {
    let full = Arc::<Script>::default();
    let (engine, rules) = two(&full, Settings { threads: 2, batch: 2, ..small() });
    until(&engine, |state| state.threads == 2);
    full.tell(|told| told.broken = true);
    // How many batches fail of how many asked for depends on which thread gets which.
    for n in 0.. {
        if engine.state().tiers[0].breaker.state == Circuit::Open {
            break;
        }
        let captions = ["a", "b", "c", "d"].map(|letter| format!("{letter}{n}"));
        let _ = end(ask(&engine, &captions.each_ref().map(String::as_str))).await;
    }
    // A lost batch is told at once: the other one of the same captions may still be under way.
    let settled = |state: &State| (state.running, state.queue, state.tiers[1].threads) == (0, 0, 2);
    until(&engine, settled);
    full.tell(|told| (told.broken, told.held) = (false, true));
    rules.tell(|told| told.held = true);
    advance(&engine, minutes(2));
    let state = until(&engine, |state| state.tiers[0].threads == 1 && state.tiers[1].threads == 1);
    assert_eq!(state.tiers[0].loading, None);

    // Each thread has one of these; only the probe is let go, so that the rest is for it.
    let one = ask(&engine, &["c"]);
    until(&engine, |state| state.running == 1);
    let other = ask(&engine, &["d"]);
    until(&engine, |state| state.running == 2);
    full.tell(|told| told.held = false);
    until(&engine, |state| state.running == 1);
    assert_eq!((by(&engine, "e").await, by(&engine, "f").await), (FULL, FULL));
    until(&engine, |state| state.tiers[0].threads == 2);
    rules.tell(|told| told.held = false);
    let mut tiers = [told(one).await[0].1, told(other).await[0].1];
    tiers.sort();
    assert_eq!(tiers, [RULES, FULL]);
    until(&engine, |state| state.tiers[1].threads == 0);
}

#[tokio::test]
async fn single_captions_that_fail_open_the_circuit_but_never_one_alone() {
    let full = Arc::<Script>::default();
    let (engine, _) = two(&full, small());
    for _ in 0..8 {
        assert_eq!(by(&engine, "poison").await, None);
    }
    assert_eq!(by(&engine, "a").await, FULL);
    for text in ["poison 1", "poison 2", "poison 3", "poison 4"] {
        assert_eq!(by(&engine, text).await, None);
    }
    assert_eq!(by(&engine, "b").await, RULES);
}

#[tokio::test]
async fn a_second_thread_that_cannot_load_does_not_close_the_tier_of_the_first() {
    let full = Arc::<Script>::default();
    full.tell(|told| told.load_held = true);
    let (engine, rules) = two(&full, Settings { threads: 2, ..small() });
    full.until(|told| (told.loads == 1).then_some(()));
    // The first load has passed its gate when the second one has begun.
    full.tell(|told| told.load_held = false);
    until(&engine, |state| state.serving == FULL);
    full.until(|told| (told.loads == 2).then_some(()));
    until(&engine, |state| state.threads == 2);
    full.tell(|told| told.load = Some(LoadError::Memory("2 GB more".into())));
    full.tell(|told| told.stuck = ["hang".into()].into());
    let hangs = ask(&engine, &["hang"]);
    full.call(0);
    advance(&engine, Duration::from_secs(40));
    assert_eq!(end(hangs).await, Err(EngineError::Lost));
    let failed = |state: &State| state.tiers[0].load_error.is_some();
    let state = until(&engine, failed);
    assert_eq!((state.status, state.threads), (Status::Serving, 1));
    assert_eq!(state.tiers[0].load_error.as_deref(), Some("not enough memory: 2 GB more"));
    assert_eq!((by(&engine, "a").await, rules.loads()), (FULL, 0));
    full.tell(|told| told.load = None);
    advance(&engine, minutes(2));
    until(&engine, |state| state.threads == 2);
}

#[tokio::test]
async fn a_loader_that_panics_or_makes_another_tier_has_failed() {
    let rules = Arc::<Script>::default();
    let panics = Loader::new(Tier::Full, |_| panic!("no such file"));
    let mistaken = {
        let rules = rules.clone();
        Loader::new(Tier::Lite, move |_| {
            Ok(Box::new(Fake { tier: Tier::Rules, script: rules.clone(), shaken: false }))
        })
    };
    let loaders = vec![panics, mistaken, loader(Tier::Rules, &rules)];
    let engine = Engine::start_at(loaders, small(), Clock::Manual(Mutex::default()));
    assert_eq!(by(&engine, "a").await, RULES);
    let state = engine.state();
    assert_eq!(state.why.unwrap(), "full: panicked: no such file");
    assert_eq!(state.tiers[1].load_error.as_deref(), Some("rules was loaded in its place"));
}

#[tokio::test]
async fn without_any_tier_callers_are_refused_until_the_next_load() {
    let full = Arc::<Script>::default();
    full.tell(|told| told.load_held = true);
    full.tell(|told| told.load = Some(LoadError::Failed("no".into())));
    let engine = start(&[(Tier::Full, &full)], small());
    let waits = ask(&engine, &["a"]);
    full.tell(|told| told.load_held = false);
    assert_eq!(end(waits).await, Err(EngineError::Lost));
    let refused = EngineError::Overloaded { retry_after: minutes(2) };
    assert_eq!(end(ask(&engine, &["a"])).await, Err(refused));
    full.tell(|told| told.load = None);
    advance(&engine, minutes(2));
    assert_eq!(by(&engine, "a").await, FULL);

    let none = Engine::start(Vec::new(), Settings::default());
    assert_eq!(end(ask(&none, &["a"])).await, Err(EngineError::Stopped));
}
