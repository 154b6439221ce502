use super::*;

fn whole(content: &str) -> Answer {
    Answer::Whole(content.as_bytes().to_vec())
}

fn cut(content: &str, end: usize) -> Answer {
    Answer::Cut(content.as_bytes().to_vec(), end)
}

fn from(path: &str, byte: u64) -> String {
    format!("{path} from {byte}")
}

#[tokio::test]
async fn a_tier_is_fetched_once_and_then_nobody_is_asked() {
    let place = Place::pinned();
    assert_eq!(place.pull().await.unwrap(), 9);
    assert_eq!(place.host.asked(), AT, "pinned files need no list");
    assert!(place.store().present(Tier::Lite));
    assert_eq!(fs::read(place.file("w.safetensors")).unwrap(), b"weights");
    assert!(!place.file("w.safetensors.part").exists());
    assert_eq!(place.pull().await.unwrap(), 0);
    assert!(place.host.asked().is_empty());
}

#[tokio::test]
async fn a_broken_file_is_gone_on_with_where_it_broke_off() {
    let place = Place::pinned();
    place.host.answers(AT[0], &[cut("weights", 3), cut("weights", 5), whole("weights")]);
    assert_eq!(place.pull().await.unwrap(), 9);
    let asked = place.host.asked();
    assert_eq!(asked, [AT[0], &from(AT[0], 3), &from(AT[0], 5), AT[1]]);
    assert_eq!(fs::read(place.file("w.safetensors")).unwrap(), b"weights");
}

#[tokio::test]
async fn a_host_that_knows_no_ranges_sends_the_file_anew() {
    let place = Place::pinned();
    let anew = Answer::Anew(b"weights".to_vec());
    place.host.answers(AT[0], &[cut("weights", 3), anew]);
    place.pull().await.unwrap();
    assert_eq!(fs::read(place.file("w.safetensors")).unwrap(), b"weights");
}

#[tokio::test]
async fn a_file_that_breaks_off_every_time_is_given_up_and_the_next_pull_goes_on() {
    let place = Place::pinned();
    place.host.answers(AT[0], &[cut("weights", 3)]);
    let fault = place.refused().await;
    assert!(fault.contains("broke off w.safetensors at 3 B of 7 B"), "{fault}");
    assert!(fault.contains("is kept"), "{fault}");
    assert_eq!(place.host.asked().len(), 6, "attempts are bounded");
    assert!(!place.file("w.safetensors").exists());

    place.host.answers(AT[0], &[whole("weights")]);
    assert_eq!(place.pull().await.unwrap(), 6, "what is here is not fetched again");
    assert_eq!(place.host.asked(), [&from(AT[0], 3), AT[1]]);
}

#[tokio::test]
async fn a_wrong_content_is_thrown_away() {
    let place = Place::pinned();
    place.host.answers(AT[0], &[whole("waights")]);
    let fault = place.refused().await;
    assert!(fault.contains("w.safetensors of me/mine arrived with sha256"), "{fault}");
    assert!(fault.contains(&format!("instead of {WEIGHTS}")), "{fault}");
    assert_eq!(place.host.asked(), [AT[0], AT[0]], "tried once more, not for ever");
    assert_eq!(fs::read_dir(place.file("")).unwrap().count(), 0, "nothing of it is left");
}

#[tokio::test]
async fn a_part_of_something_else_costs_one_more_attempt() {
    let place = Place::pinned();
    place.put("w.safetensors.part", "wai");
    place.pull().await.unwrap();
    assert_eq!(place.host.asked(), [&from(AT[0], 3), AT[0], AT[1]]);
    assert_eq!(fs::read(place.file("w.safetensors")).unwrap(), b"weights");

    let place = Place::pinned();
    place.put("w.safetensors.part", "longer than the file may be");
    place.put("config.json.part", "{}");
    place.pull().await.unwrap();
    assert_eq!(place.host.asked(), [AT[0]], "a part that is whole is not asked for");
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again() {
    let place = Place::pinned();
    place.pull().await.unwrap();
    place.host.asked();
    place.put("w.safetensors", "waights");
    assert_eq!(place.pull().await.unwrap(), 7);
    assert_eq!(place.host.asked(), [AT[0]]);
    assert_eq!(fs::read(place.file("w.safetensors")).unwrap(), b"weights");
}

#[tokio::test]
async fn a_file_the_revision_does_not_have_is_named() {
    let place = Place::pinned();
    place.host.answers(AT[0], &[Answer::Status(404)]);
    place.host.answers(LIST, &[whole("[]")]);
    let fault = place.refused().await;
    assert_eq!(fault, format!("me/mine has no w.safetensors at revision {REVISION}"));
    assert_eq!(place.host.asked(), [AT[0], LIST], "not tried again");

    let pickled = r#"[{"type":"file","oid":"aa","size":9,"path":"pytorch_model.bin"}]"#;
    for place in [place, Place::by_revision()] {
        place.host.answers(AT[0], &[Answer::Status(404)]);
        place.host.answers(LIST, &[whole(pickled)]);
        let fault = place.refused().await;
        assert!(fault.contains("only pytorch_model.bin, which is not loaded"), "{fault}");
        assert!(fault.contains("scripts/ai/convert.py"), "{fault}");
    }
}

#[tokio::test]
async fn without_a_host_nothing_is_changed() {
    let mut place = Place::pinned();
    place.sources = sources(&nobody(), MINILM);
    let fault = place.refused().await;
    assert!(fault.starts_with("127.0.0.1 cannot be reached: "), "{fault}");
    assert!(!fault.contains("me/mine/resolve"), "no addresses in a sentence: {fault}");
    let left: Vec<_> = fs::read_dir(place.file("")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let (told, verdict) = upkeep::verify(place.store(), false).await.unwrap();
    assert!(told.contains("me/mine  not here") && verdict.is_ok(), "{told}");
}

#[tokio::test]
async fn a_length_that_is_not_the_pinned_one_is_refused_at_once() {
    let place = Place::pinned();
    for (answer, sends) in [
        (Answer::Lying(b"weights".to_vec(), 6), "sends 6"),
        (Answer::Lying(b"weights".to_vec(), 7_000_000_000_000), "sends 7000000000000"),
        (Answer::Endless(b"weights and more of them".to_vec()), "sends more"),
    ] {
        place.host.answers(AT[0], &[answer]);
        let fault = place.refused().await;
        let wanted = "w.safetensors of me/mine should have 7 bytes, and 127.0.0.1 ";
        assert_eq!(fault, format!("{wanted}{sends}"));
        assert_eq!(place.host.asked(), [AT[0]], "not tried again");
        assert_eq!(fs::read_dir(place.file("")).unwrap().count(), 0, "nothing of it is left");
    }
    // One that says nothing about its length and has the right one is taken.
    place.host.answers(AT[0], &[Answer::Endless(b"weights".to_vec())]);
    place.pull().await.unwrap();
}

#[tokio::test]
async fn a_busy_host_is_asked_again_and_one_that_says_no_is_not() {
    let place = Place::pinned();
    let busy = Answer::Status(503);
    place.host.answers(AT[0], &[busy.clone(), Answer::Status(429), whole("weights")]);
    place.pull().await.unwrap();
    assert_eq!(place.host.asked(), [AT[0], AT[0], AT[0], AT[1]]);

    let place = Place::pinned();
    place.host.answers(AT[0], &[busy]);
    assert!(place.refused().await.contains("answers 503 for w.safetensors of me/mine"));
    assert_eq!(place.host.asked().len(), 6);
    place.host.answers(AT[0], &[Answer::Status(401)]);
    assert!(place.refused().await.contains("answers 401 for w.safetensors of me/mine"));
    assert_eq!(place.host.asked(), [AT[0]]);
}

#[tokio::test]
async fn what_only_the_revision_pins_is_checked_against_what_the_host_says_of_it() {
    let place = Place::by_revision();
    place.host.answers(LIST, &[whole(LISTED)]);
    assert_eq!(place.pull().await.unwrap(), 9);
    assert_eq!(place.host.asked(), [LIST, AT[0], AT[1]]);
    let kept = fs::read_to_string(place.file("pulled.toml")).unwrap();
    assert!(kept.contains(WEIGHTS) && kept.contains(CONFIG), "{kept}");
    // From now on their checksums are known, and nobody is asked.
    assert_eq!(place.pull().await.unwrap(), 0);
    assert!(place.host.asked().is_empty());
    let store = place.store();
    assert!(store.verify(store.model(Task::Embedding)).is_ok());

    // Files that were put there by hand are checked, not fetched.
    fs::remove_file(place.file("pulled.toml")).unwrap();
    assert_eq!(place.pull().await.unwrap(), 0);
    assert_eq!(place.host.asked(), [LIST]);
    assert_eq!(fs::read_to_string(place.file("pulled.toml")).unwrap(), kept);

    for (answers, kind) in [([AT[0], "waights"], "sha256"), ([AT[1], "[]"], "git object id")] {
        let place = Place::by_revision();
        place.host.answers(LIST, &[whole(LISTED)]);
        place.host.answers(answers[0], &[whole(answers[1])]);
        let fault = place.refused().await;
        assert!(fault.contains(&format!("arrived with {kind}")), "{fault}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_refused() {
    let place = Place::by_revision();
    for (answer, words) in [
        (whole("<html>"), "what 127.0.0.1 says of me/mine cannot be read"),
        (whole("[]"), "me/mine has no w.safetensors"),
        (whole(&"[".repeat(5 << 20)), "it is too long"),
        (Answer::Status(404), "answers 404 for me/mine at 0123"),
    ] {
        place.host.answers(LIST, &[answer]);
        let fault = place.refused().await;
        assert!(fault.contains(words), "{fault}");
    }
}

#[tokio::test]
async fn two_pulls_at_once_are_one_too_many() {
    let place = Place::pinned();
    let lock = pull::lock(place.dir.path()).unwrap();
    assert!(place.refused().await.starts_with("another pull or preparation is at work in "));
    drop(lock);
    place.pull().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_is_too_full_is_told_before_anything_is_fetched() {
    let place = Place::of(&format!(
        "{{ name = \"w.safetensors\", size = 1000000000000000000, sha256 = \"{WEIGHTS}\" }},
         {{ name = \"config.json\", size = 2, sha256 = \"{CONFIG}\" }}"
    ));
    let fault = place.refused().await;
    assert!(fault.starts_with("1000000000.0 GB more are needed in "), "{fault}");
    assert!(place.host.asked().is_empty());
}
