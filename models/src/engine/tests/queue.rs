//! The queue, alone: whatever is asked, every caption is taken once and in batches that fit.

use proptest::prelude::*;
use tokio::sync::oneshot::Receiver;

use super::super::queue::Queue;
use super::super::request::{Answers, Asked, Request};
use super::*;

type Told = Receiver<Result<Answers, EngineError>>;

fn admit(queue: &mut Queue, texts: &[String], settings: &Settings) -> (Arc<Request>, Option<Told>) {
    let (request, told) = Request::new(texts.len(), CancellationToken::new());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let captions = captions(&texts).into_iter().enumerate();
    let captions = captions.map(|(index, caption)| Asked::new(index, caption, settings.cost));
    let captions = captions.collect();
    let admitted = queue.admit(Duration::ZERO, &request, captions, settings);
    (request, admitted.ok().map(|()| told))
}

fn requests() -> impl Strategy<Value = Vec<(Vec<String>, bool)>> {
    let text =
        (1..40_usize, 0..3_u8).prop_map(|(length, last)| format!("{}{last}", "x".repeat(length)));
    prop::collection::vec((prop::collection::vec(text, 1..30), any::<bool>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_wanted_caption_is_taken_once_and_every_request_is_answered(
        requests in requests(),
        batch in 1..20_usize,
        tokens in 20..200_usize,
        room in 1..200_usize,
        idle in 0..5_usize,
    ) {
        let cost = |caption: &Prepared| caption.text.len();
        let settings = Settings { batch, tokens, queue: room, cost, ..small() };
        let mut queue = Queue::default();
        let mut kept = Vec::new();
        for (texts, stays) in &requests {
            let (_, told) = admit(&mut queue, texts, &settings);
            if let Some(told) = told.filter(|_| *stays) {
                kept.push((texts, told));
            }
        }
        let mut taken = HashSet::new();
        while let Some(batch) = queue.take(&settings, idle) {
            let longest = batch.flights.iter().map(|flight| flight.tokens).max().unwrap();
            let size = batch.flights.len();
            prop_assert!(size <= settings.batch && (size == 1 || size * longest <= tokens));
            queue.land(&batch.flights);
            for flight in batch.flights {
                let text = flight.caption.text.clone();
                flight.answer(&Ok(analysis(&text, Tier::Lite)));
                prop_assert!(taken.insert(text), "taken twice");
            }
        }
        prop_assert_eq!(queue.len(), 0);
        let wanted: HashSet<String> = kept.iter().flat_map(|(texts, _)| (*texts).clone()).collect();
        prop_assert_eq!(&taken, &wanted, "no more and no less than what is still wanted");
        for (texts, mut told) in kept {
            let answers = told.try_recv().expect("answered").expect("whole");
            let answered = answers.into_iter().map(|answer| answer.unwrap().language.code);
            prop_assert_eq!(&answered.collect::<Vec<_>>(), texts);
        }
    }
}
