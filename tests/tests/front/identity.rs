//! Who Supabase says somebody is: what its tokens open, and what others do not.

use entity::enums::Role;
use entity::time::wall_now;
use entity::user;
use futures_util::future::join_all;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tests::gotrue::{JWT_SECRET, encoded};
use tests::{Answer, Gotrue, Signer, System};
use uuid::Uuid;

use crate::common::{check_refusal, masked};

/// Anything that wants a user.
const WANTS: &str = "/api/v1/jobs";

/// A farm whose users sign in elsewhere.
struct Stage {
    system: System,
    gotrue: Gotrue,
    ec: Signer,
    rsa: Signer,
    secret: Signer,
    ann: Uuid,
}

impl Stage {
    async fn open() -> Self {
        let (ec, rsa) = (Signer::ec("ec-1"), Signer::rsa("rsa-1"));
        let gotrue = Gotrue::start(&[ec.clone(), rsa.clone()]).await;
        let settings = gotrue.settings(Some(JWT_SECRET));
        let system = System::builder().workers(0).supabase(settings).start().await;
        let secret = Signer::secret("secret-1", JWT_SECRET.as_bytes());
        Self { system, gotrue, ec, rsa, secret, ann: Uuid::new_v4() }
    }

    /// What a good token of Ann's says.
    fn claims(&self) -> Value {
        self.gotrue.claims(self.ann, "ann@example.test")
    }

    /// The same with other values; null takes one away.
    fn but(&self, others: Value) -> Value {
        let mut claims = self.claims();
        let fields = claims.as_object_mut().unwrap();
        for (name, value) in others.as_object().unwrap() {
            match value {
                Value::Null => drop(fields.remove(name)),
                value => drop(fields.insert(name.clone(), value.clone())),
            }
        }
        claims
    }

    /// A token of Ann's with other values, signed with a good key.
    fn says(&self, others: Value) -> String {
        self.ec.token(&self.but(others))
    }

    async fn shows(&self, token: &str) -> Answer {
        self.system.with_token(token).get(WANTS).await
    }
}

/// What Mallory signs with; the names of the keys are public.
struct Mallory {
    ec: Signer,
    rsa: Signer,
}

fn attacks(stage: &Stage) -> Vec<(&'static str, String)> {
    let Stage { ec, rsa, secret, .. } = stage;
    let mallory = Mallory { ec: Signer::ec("ec-1"), rsa: Signer::rsa("rsa-1") };
    let claims = stage.claims();
    let header = |name: &str, value: Value| {
        let mut header = ec.header();
        header[name] = value;
        header
    };
    let unsigned = |alg: &str| {
        let head = json!({ "alg": alg, "typ": "JWT", "kid": "ec-1" });
        format!("{}.{}.", encoded(&head.to_string()), encoded(&claims.to_string()))
    };
    let hmac = |kid: &str, secret: &[u8]| Signer::secret(kid, secret).token(&claims);
    let good = ec.token(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let other = ec.token(&stage.gotrue.claims(Uuid::new_v4(), "ben@example.test"));
    let (_, other_signature) = other.rsplit_once('.').unwrap();
    let with_signature = |signature: &str| format!("{}.{}.{signature}", parts[0], parts[1]);
    let with_key = |header: Value| mallory.ec.sign(&header, &claims);
    let now = wall_now().0 / 1_000;
    vec![
        // The header does not choose how a token is checked.
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg nOnE", unsigned("nOnE")),
        ("alg none with a signature", ec.sign(&header("alg", json!("none")), &claims)),
        ("no alg", ec.sign(&json!({ "kid": "ec-1" }), &claims)),
        ("RSA's PEM as a secret", hmac("rsa-1", rsa.public_pem().as_bytes())),
        ("RSA's PEM without its last newline", hmac("rsa-1", rsa.public_pem().trim().as_bytes())),
        ("RSA's DER as a secret", hmac("rsa-1", rsa.public_der())),
        ("RSA's JWK as a secret", hmac("rsa-1", rsa.jwk().to_string().as_bytes())),
        ("EC's PEM as a secret", hmac("ec-1", ec.public_pem().as_bytes())),
        ("EC's DER as a secret", hmac("ec-1", ec.public_der())),
        ("EC's JWK as a secret", hmac("ec-1", ec.jwk().to_string().as_bytes())),
        ("nothing as a secret", hmac("ec-1", b"")),
        ("RS256 with the name of an EC key", rsa.named("ec-1").token(&claims)),
        ("ES256 with the name of an RSA key", ec.named("rsa-1").token(&claims)),
        ("RS512 with a key for RS256", rsa.with(Algorithm::RS512).token(&claims)),
        ("PS256 with a key for RS256", rsa.with(Algorithm::PS256).token(&claims)),
        ("HS512 with the secret", secret.with(Algorithm::HS512).token(&claims)),
        // Keys of others.
        ("another EC key of the same name", mallory.ec.token(&claims)),
        ("another RSA key of the same name", mallory.rsa.token(&claims)),
        ("another secret", hmac("secret-1", b"another secret of thirty-two bytes..")),
        ("no kid", ec.sign(&header("kid", Value::Null), &claims)),
        ("an empty kid", ec.named("").token(&claims)),
        ("an unknown kid", ec.named("ec-2").token(&claims)),
        ("a kid that is a path", ec.named("../../../../dev/null").token(&claims)),
        ("a kid that is a path to a key", ec.named("./ec-1").token(&claims)),
        ("a kid that is SQL", ec.named("x' UNION SELECT 'ec-1' --").token(&claims)),
        ("a kid that is a command", ec.named("ec-1|id").token(&claims)),
        ("a kid with a zero", ec.named("ec-1\0").token(&claims)),
        ("a huge kid", ec.named(&"k".repeat(3_000)).token(&claims)),
        ("a kid that is a number", ec.sign(&header("kid", json!(1)), &claims)),
        ("a kid that is a list", ec.sign(&header("kid", json!(["ec-1"])), &claims)),
        ("a key in the header", with_key(header("jwk", mallory.ec.jwk()))),
        ("a key in the header alone", {
            with_key(json!({ "alg": "ES256", "jwk": mallory.ec.jwk() }))
        }),
        ("a set elsewhere", with_key(header("jku", json!("https://mallory.test/jwks.json")))),
        ("a certificate elsewhere", with_key(header("x5u", json!("https://mallory.test/c.pem")))),
        ("a certificate in the header", with_key(header("x5c", json!(["AAAA"])))),
        ("what must be understood", ec.sign(&header("crit", json!(["exp"])), &claims)),
        ("what must be understood, b64", {
            let mut head = header("crit", json!(["b64"]));
            head["b64"] = json!(false);
            ec.sign(&head, &claims)
        }),
        // Times.
        ("expired", stage.says(json!({ "exp": now - 60 }))),
        ("no exp", stage.says(json!({ "exp": null }))),
        ("exp as text", stage.says(json!({ "exp": (now + 600).to_string() }))),
        ("exp that is true", stage.says(json!({ "exp": true }))),
        ("a negative exp", stage.says(json!({ "exp": -1 }))),
        ("not yet", stage.says(json!({ "nbf": now + 600 }))),
        ("nbf as text", stage.says(json!({ "nbf": (now - 60).to_string() }))),
        // For whom and from whom.
        ("another audience", stage.says(json!({ "aud": "anon" }))),
        ("a list without ours", stage.says(json!({ "aud": ["anon", "authenticated-not"] }))),
        ("an empty list", stage.says(json!({ "aud": [] }))),
        ("no audience", stage.says(json!({ "aud": null }))),
        ("another issuer", stage.says(json!({ "iss": "https://mallory.test/auth/v1" }))),
        ("our issuer with a slash", {
            stage.says(json!({ "iss": format!("{}/", claims["iss"].as_str().unwrap()) }))
        }),
        ("issuers with ours among them", stage.says(json!({ "iss": ["x", claims["iss"]] }))),
        ("no issuer", stage.says(json!({ "iss": null }))),
        // Whom.
        ("nobody", stage.says(json!({ "sub": null }))),
        ("a sub that is no id", stage.says(json!({ "sub": "ann" }))),
        ("a sub that is a number", stage.says(json!({ "sub": 7 }))),
        ("two subs", {
            let text = claims.to_string();
            let twice = format!("{},\"sub\":\"{}\"}}", &text[..text.len() - 1], Uuid::new_v4());
            ec.sign_text(&ec.header().to_string(), &twice)
        }),
        ("the service role", stage.says(json!({ "role": "service_role" }))),
        ("the service role by its secret", {
            secret.token(&stage.but(json!({ "role": "service_role" })))
        }),
        ("a visitor's role", stage.says(json!({ "role": "anon" }))),
        ("an operator's role", stage.says(json!({ "role": "admin" }))),
        ("no role", stage.says(json!({ "role": null }))),
        ("roles", stage.says(json!({ "role": ["authenticated"] }))),
        ("an anonymous visitor", stage.says(json!({ "is_anonymous": true }))),
        ("an anonymous visitor in words", stage.says(json!({ "is_anonymous": "true" }))),
        // What is no token.
        ("too large", stage.says(json!({ "pad": "x".repeat(9_000) }))),
        ("dots", "..".to_owned()),
        ("three words", "one.two.three".to_owned()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.{}", parts[2])),
        ("five parts", format!("{good}.AAAA.AAAA")),
        ("no base64", format!("{}.{}.{}", parts[0], "!!!!", parts[2])),
        ("padded", format!("{good}==")),
        ("no signature", with_signature("")),
        ("half a signature", with_signature(&parts[2][..40])),
        ("a signature of zeros", with_signature(&"A".repeat(86))),
        ("the signature of another token", with_signature(other_signature)),
        ("other claims", {
            let claims = stage.but(json!({ "sub": Uuid::new_v4() }));
            format!("{}.{}.{}", parts[0], encoded(&claims.to_string()), parts[2])
        }),
        ("claims that are a list", ec.sign(&ec.header(), &json!([claims]))),
        ("claims that are a word", ec.sign_text(&ec.header().to_string(), "\"ann\"")),
        ("no JSON", ec.sign_text(&ec.header().to_string(), "{")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_token_opens_anything_and_none_is_told_why() {
    let stage = Stage::open().await;
    // Good ones of every kind, so that each of the others is refused for what it is.
    for good in [
        stage.ec.token(&stage.claims()),
        stage.rsa.token(&stage.claims()),
        stage.secret.token(&stage.claims()),
        stage.secret.sign(&json!({ "alg": "HS256" }), &stage.claims()),
        stage.says(json!({ "aud": ["anon", "authenticated"] })),
        stage.says(json!({ "nbf": wall_now().0 / 1_000 - 60, "is_anonymous": null })),
        stage.says(json!({ "pad": "x".repeat(4_000) })),
        // What stands in the header besides the key's name is looked at by nobody.
        stage.ec.sign(
            &json!({
                "alg": "ES256", "kid": "ec-1", "jku": "https://mallory.test/", "x5u": "https://x",
                "jwk": Signer::ec("m").jwk(),
            }),
            &stage.claims(),
        ),
    ] {
        stage.shows(&good).await.expect(200);
    }
    let attacks = attacks(&stage);
    assert!(attacks.len() >= 80, "{}", attacks.len());
    let (mut through, mut shapes) = (vec![], vec![]);
    for (name, token) in &attacks {
        let answer = stage.shows(token).await;
        if answer.status.as_u16() != 401 {
            through.push((name, answer.status, answer.text));
            continue;
        }
        check_refusal(&answer);
        let headers = answer.header("www-authenticate").map(str::to_owned);
        shapes.push((name, masked(&answer.json), headers));
    }
    assert!(through.is_empty(), "{through:#?}");
    let (_, body, headers) = &shapes[0];
    assert_eq!(body["code"], "invalid_credentials");
    for (name, other, others) in &shapes {
        assert_eq!((other, others), (body, headers), "{name} is told apart");
    }
    // The local issuer's own are worth nothing here, nor is a link to a file.
    let issuer = api::Issuer::new(b"a secret for tests, thirty-two bytes");
    let ann = user::by_id(stage.system.db().read(), stage.ann).await.unwrap().unwrap();
    let link = issuer.sign_download(Uuid::now_v7(), entity::Time(wall_now().0 + 60_000)).unwrap();
    for token in [issuer.sign(&ann, 60).unwrap(), link] {
        assert_eq!(masked(&stage.shows(&token).await.expect(401).json), *body);
    }
    assert_eq!(stage.system.count("SELECT count(*) AS n FROM users").await, 1, "Ann alone");
    stage.system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_shared_secret_none_is_guessed() {
    let ec = Signer::ec("ec-1");
    let gotrue = Gotrue::start(std::slice::from_ref(&ec)).await;
    let settings = gotrue.settings(None);
    let system = System::builder().workers(0).supabase(settings).start().await;
    let claims = gotrue.claims(Uuid::new_v4(), "ann@example.test");
    for secret in ["", JWT_SECRET, tests::gotrue::ANON_KEY, &ec.public_pem()] {
        let token = Signer::secret("ec-1", secret.as_bytes()).token(&claims);
        system.with_token(&token).get(WANTS).await.expect(401);
    }
    system.with_token(&ec.token(&claims)).get(WANTS).await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_good_token_makes_the_account_once() {
    let stage = Stage::open().await;
    // As many tokens: none of them is remembered from another.
    let claims = || {
        let mut claims = stage.gotrue.claims(stage.ann, "Ann.Lee@Example.Test");
        claims["user_metadata"] = json!({ "full_name": "Ann Lee", "role": "admin" });
        claims
    };
    let tokens: Vec<String> = (0..20).map(|_| stage.ec.token(&claims())).collect();
    let all = join_all(tokens.iter().map(|token| stage.shows(token))).await;
    for answer in all {
        answer.expect(200);
    }
    assert_eq!(stage.system.count("SELECT count(*) AS n FROM users").await, 1);
    let me = stage.system.with_token(&tokens[0]).get("/api/v1/auth/me").await.expect(200).json;
    assert_eq!(me["id"], stage.ann.to_string());
    assert_eq!(me["email"], "ann.lee@example.test");
    assert_eq!((&me["first_name"], &me["last_name"]), (&json!("Ann"), &json!("Lee")));
    assert_eq!((&me["role"], &me["status"]), (&json!("user"), &json!("active")));
    stage.system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_say_about_themselves_gives_them_nothing() {
    let stage = Stage::open().await;
    let operator = json!({
        "user_metadata": { "role": "admin", "is_admin": true, "status": "active" },
        "app_metadata": { "role": "admin", "roles": ["superadmin"] },
        "user_role": "admin", "permissions": ["*"], "is_super_admin": true,
    });
    let token = stage.says(operator);
    let refused = stage.system.with_token(&token).get("/api/v1/queues").await;
    refused.expect_problem(403, "operators_only");
    let ann = user::by_id(stage.system.db().read(), stage.ann).await.unwrap().unwrap();
    assert_eq!(ann.role, Role::User);
    // What we say does.
    let appoint = "UPDATE users SET role = 'admin'";
    entity::sql::execute(stage.system.db().write(), appoint, vec![]).await.unwrap();
    stage.system.forget();
    stage.system.with_token(&token).get("/api/v1/queues").await.expect(200);
    // And an account that is closed here is closed, whatever is signed elsewhere.
    let close = "UPDATE users SET status = 'suspended'";
    entity::sql::execute(stage.system.db().write(), close, vec![]).await.unwrap();
    stage.system.forget();
    let refused = stage.shows(&token).await;
    check_refusal(&refused);
    refused.expect_problem(403, "account_closed");
    stage.system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_does_not_open_the_account_of_another_id() {
    let stage = Stage::open().await;
    let dana = stage.system.user("dana").await;
    for email in ["dana@example.test", "DANA@example.test", " Dana@Example.Test "] {
        let token = stage.ec.token(&stage.gotrue.claims(Uuid::new_v4(), email));
        let refused = stage.shows(&token).await;
        check_refusal(&refused);
        refused.expect_problem(403, "email_taken");
    }
    for email in [Value::Null, json!(""), json!("ann"), json!("a@b.c\0")] {
        let refused = stage.shows(&stage.says(json!({ "email": email }))).await;
        check_refusal(&refused);
        refused.expect_problem(403, "email_required");
    }
    assert_eq!(stage.system.count("SELECT count(*) AS n FROM users").await, 1);
    let same = user::by_id(stage.system.db().read(), dana.id).await.unwrap();
    assert_eq!(same, Some(dana.clone()), "nothing about her account has changed");
    // Her own id has it, with whatever address.
    let token = stage.ec.token(&stage.gotrue.claims(dana.id, "other@example.test"));
    let me = stage.system.with_token(&token).get("/api/v1/auth/me").await.expect(200).json;
    assert_eq!(me["email"], "dana@example.test");
    stage.system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_files_are_ours_in_any_case() {
    let stage = Stage::open().await;
    // Of a file that is not there: what is said of a good link and of a bad one is the same, so
    // what tells them apart is asked for where it is decided.
    let issuer = api::Issuer::new(b"a secret for tests, thirty-two bytes");
    let export = Uuid::now_v7();
    let until = entity::Time(wall_now().0 + 60_000);
    assert_eq!(issuer.check_download(&issuer.sign_download(export, until).unwrap()), Some(export));
    let foreign = stage.secret.token(&json!({
        "sub": export, "iss": "farm", "aud": "download", "exp": wall_now().0 / 1_000 + 60,
    }));
    assert_eq!(issuer.check_download(&foreign), None, "the project's secret signs no links");
    let answer = stage.system.api().get(&format!("/api/export/{export}/file?link={foreign}")).await;
    answer.expect_problem(403, "link_refused");
    stage.system.end().await;
}
