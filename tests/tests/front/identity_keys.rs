//! The keys of a hosted identity provider: when they are asked for, and while it is away.

use std::time::Duration;

use futures_util::future::join_all;
use tests::gotrue::{JWT_SECRET, Keys};
use tests::{Gotrue, Signer, System};
use uuid::Uuid;

use crate::common::check_refusal;

const WANTS: &str = "/api/v1/jobs";
/// Longer than keys are remembered.
const LATER: Duration = Duration::from_secs(601);
/// Longer than somebody can make us wait before we ask again.
const SOON: Duration = Duration::from_secs(11);

async fn stage(signers: &[Signer]) -> (System, Gotrue) {
    let gotrue = Gotrue::start(signers).await;
    let settings = gotrue.settings(Some(JWT_SECRET));
    let system = System::builder().workers(0).supabase(settings).start().await;
    (system, gotrue)
}

/// What is said to somebody who has not been here, so that nothing is remembered of them.
async fn shown(system: &System, gotrue: &Gotrue, signer: &Signer) -> u16 {
    let id = Uuid::new_v4();
    let token = signer.token(&gotrue.claims(id, &format!("{}@example.test", id.simple())));
    system.with_token(&token).get(WANTS).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_read_once_and_again_when_they_are_old() {
    let key = Signer::ec("one");
    let (system, gotrue) = stage(std::slice::from_ref(&key)).await;
    assert_eq!(gotrue.asked(), 0, "nobody has shown a token yet");
    let many = join_all((0..20).map(|_| shown(&system, &gotrue, &key))).await;
    assert_eq!((many, gotrue.asked()), (vec![200; 20], 1));
    system.advance(Duration::from_secs(590)).await;
    assert_eq!((shown(&system, &gotrue, &key).await, gotrue.asked()), (200, 1));
    system.advance(SOON).await;
    let many = join_all((0..20).map(|_| shown(&system, &gotrue, &key))).await;
    assert_eq!((many, gotrue.asked()), (vec![200; 20], 2));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_have_us_ask_all_the_time() {
    let key = Signer::ec("one");
    let (system, gotrue) = stage(std::slice::from_ref(&key)).await;
    assert_eq!(shown(&system, &gotrue, &key).await, 200);
    let strangers = async || {
        let names = (0..20).map(|_| key.named(&Uuid::new_v4().to_string()));
        let names: Vec<Signer> = names.collect();
        join_all(names.iter().map(|signer| shown(&system, &gotrue, signer))).await
    };
    // A moment after the first reading.
    assert_eq!((strangers().await, gotrue.asked()), (vec![401; 20], 1));
    for asked in 2..5 {
        system.advance(SOON).await;
        assert_eq!((strangers().await, gotrue.asked()), (vec![401; 20], asked), "one of twenty");
        assert_eq!((strangers().await, gotrue.asked()), (vec![401; 20], asked), "too soon");
        assert_eq!((shown(&system, &gotrue, &key).await, gotrue.asked()), (200, asked));
    }
    system.advance(SOON).await;
    let asked = gotrue.asked();
    // Names that are none, and algorithms that no published key is for, are no reason to ask.
    let huge = key.named(&"k".repeat(300));
    for odd in [huge, key.named(""), Signer::secret("new", b"x"), Signer::secret("one", b"x")] {
        assert_eq!((shown(&system, &gotrue, &odd).await, gotrue.asked()), (401, asked));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_good_at_once_and_an_old_one_no_more() {
    let (old, new) = (Signer::ec("old"), Signer::rsa("new"));
    let (system, gotrue) = stage(std::slice::from_ref(&old)).await;
    assert_eq!(shown(&system, &gotrue, &old).await, 200);
    system.advance(SOON).await;
    // First both, as one rotates.
    gotrue.rotate(&[new.clone(), old.clone()]);
    assert_eq!((shown(&system, &gotrue, &new).await, gotrue.asked()), (200, 2));
    assert_eq!(shown(&system, &gotrue, &old).await, 200, "it is published still");
    gotrue.rotate(std::slice::from_ref(&new));
    system.advance(LATER).await;
    assert_eq!(shown(&system, &gotrue, &old).await, 401, "and asked for once more before that");
    assert_eq!((shown(&system, &gotrue, &new).await, gotrue.asked()), (200, 3));
    // A key of a name that was used before is another key.
    let again = Signer::ec("new");
    gotrue.rotate(std::slice::from_ref(&again));
    system.advance(LATER).await;
    assert_eq!(shown(&system, &gotrue, &again).await, 200);
    assert_eq!(shown(&system, &gotrue, &new).await, 401);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_an_outage_the_last_keys_stay() {
    let (key, new) = (Signer::ec("one"), Signer::ec("two"));
    let (system, gotrue) = stage(std::slice::from_ref(&key)).await;
    assert_eq!(shown(&system, &gotrue, &key).await, 200);
    let elsewhere = Gotrue::start(std::slice::from_ref(&new)).await;
    let to = format!("{}auth/v1/.well-known/jwks.json", elsewhere.settings(None).url);
    for outage in [
        Keys::Fails(500),
        Keys::Fails(503),
        Keys::Fails(404),
        Keys::Says("<html>a page</html>".to_owned()),
        Keys::Says("{}".to_owned()),
        Keys::Says(format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300 * 1_024))),
        Keys::Moved(to),
    ] {
        gotrue.set_keys(outage.clone());
        let before = gotrue.asked();
        system.advance(LATER).await;
        for _ in 0..5 {
            assert_eq!(shown(&system, &gotrue, &key).await, 200, "{outage:?}");
        }
        let id = Uuid::new_v4();
        let token = new.token(&gotrue.claims(id, "new@example.test"));
        let refused = system.with_token(&token).get(WANTS).await;
        check_refusal(&refused);
        refused.expect_problem(401, "invalid_credentials");
        assert_eq!(gotrue.asked(), before + 1, "{outage:?}: once, however many come");
    }
    assert_eq!(elsewhere.asked(), 0, "keys come from there and from nowhere else");
    gotrue.set_keys(Keys::Published);
    gotrue.rotate(std::slice::from_ref(&new));
    system.advance(SOON).await;
    assert_eq!(shown(&system, &gotrue, &new).await, 200, "and then it is over");
    assert_eq!(shown(&system, &gotrue, &key).await, 401);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_keys_nobody_is_let_in_nor_sent_away_for_good() {
    let key = Signer::ec("one");
    let (system, gotrue) = stage(std::slice::from_ref(&key)).await;
    gotrue.set_keys(Keys::Fails(500));
    let claims = gotrue.claims(Uuid::new_v4(), "ann@example.test");
    let (signed, forged) = (key.token(&claims), Signer::ec("one").token(&claims));
    for token in [&signed, &forged] {
        let answer = system.with_token(token).get(WANTS).await;
        let answer = answer.expect_problem(503, "identity_unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(gotrue.asked(), 1);
    // A shared secret needs nobody.
    let secret = Signer::secret("x", JWT_SECRET.as_bytes());
    assert_eq!(shown(&system, &gotrue, &secret).await, 200);
    gotrue.set_keys(Keys::Published);
    system.advance(SOON).await;
    system.with_token(&signed).get(WANTS).await.expect(200);
    system.with_token(&forged).get(WANTS).await.expect(401);
    system.end().await;
}
