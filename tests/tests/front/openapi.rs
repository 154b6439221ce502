//! What the API says of itself.

use std::collections::BTreeSet;

use poem::http::Method;
use serde_json::{Value, json};
use tests::System;

fn document() -> Value {
    serde_json::from_str(&api::openapi()).unwrap()
}

/// Every operation: method, path, itself.
fn operations(document: &Value) -> Vec<(Method, String, &Value)> {
    let mut all = vec![];
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase().parse().unwrap(), path.clone(), operation));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_the_committed_one() {
    let system = System::builder().workers(0).start().await;
    let served = system.api().get("/openapi.json").await.expect(200);
    assert!(served.header("content-type").unwrap().starts_with("application/json"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/openapi.json");
    let committed = std::fs::read_to_string(path).expect("api/openapi.json: run `make openapi`");
    let committed: Value = serde_json::from_str(&committed).unwrap();
    assert!(served.json == committed, "api/openapi.json is old: run `make openapi`");
    assert!(served.json["openapi"].as_str().unwrap().starts_with("3."));
    system.end().await;
}

#[test]
fn every_operation_has_a_name_of_its_own_a_tag_and_a_summary() {
    let document = document();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_default();
        assert!(!name.is_empty(), "{method} {path} has no operation id");
        assert!(names.insert(name), "{name} twice");
        assert!(operation["tags"].as_array().is_some_and(|t| !t.is_empty()), "{name} has no tag");
        assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{name}: summary");
    }
    assert!(names.len() >= 12, "{names:?}");
}

#[test]
fn everything_but_probes_and_sign_in_wants_a_bearer_token() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let entrance = ["register", "login", "refresh", "verify-email/{token}", "forgot-password"]
            .iter()
            .any(|what| path == format!("/api/v1/auth/{what}"));
        let public =
            entrance || ["/livez", "/readyz", "/health", "/api/health"].contains(&path.as_str());
        let secured = operation["security"].as_array().is_some_and(|s| !s.is_empty());
        assert_eq!(secured, !public, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_operation_is_there_and_none_lets_strangers_in() {
    let system = System::builder().workers(0).start().await;
    let document = document();
    for (method, path, operation) in operations(&document) {
        let id = uuid::Uuid::now_v7().to_string();
        let real = path.replace("{username}", "somebody").replace("{id}", &id);
        let real = real.replace("{name}", "fetch").replace("{shortcode}", "Cx1");
        let real = real.replace("{job_id}", &id).replace("{list_id}", &id);
        let real = real.replace("{creator}", "somebody").replace("{user_id}", &id);
        let real = real.replace("{action_type}", "influencer_unlock");
        let real = real.replace("{token}", "something");
        assert!(!real.contains('{'), "a new parameter in {path}: name a value for it here");
        let body = (method == Method::POST).then(|| "{}".to_owned());
        let answer = system.api().send(method.clone(), &real, body).await;
        let status = answer.status.as_u16();
        if operation["security"].as_array().is_some_and(|s| !s.is_empty()) {
            assert_eq!(status, 401, "{method} {real}: {}", answer.text);
        } else {
            // Nothing may be there, but the path is.
            assert_ne!(status, 405, "{method} {real}: {}", answer.text);
            assert_ne!(answer.json["code"], "no_such_path", "{method} {real}");
        }
    }
    system.end().await;
}

/// Generated clients check what they send by the document: its limits are those of the handlers.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_at_a_documented_limit_are_taken_and_those_beyond_it_are_not() {
    let system = System::builder().workers(0).start().await;
    let admin = system.as_user("admin").await;
    let document = document();
    let mut tried = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        if method != Method::GET || path.ends_with("stream") || path.ends_with("events") {
            continue;
        }
        let path = path.replace("{username}", "somebody").replace("{creator}", "somebody");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let (Some(least), Some(most)) =
                (schema["minimum"].as_i64(), schema["maximum"].as_i64())
            else {
                // What is limited is limited both ways.
                assert_eq!(schema.get("minimum"), schema.get("maximum"), "{path} {name}");
                continue;
            };
            let asked = async |value: i64| {
                let answer = admin.get(&format!("{path}?{name}={value}")).await;
                answer.status.as_u16() == 400 && answer.json["field"] == name
            };
            assert!(!asked(least).await && !asked(most).await, "{path}: {name} {least}-{most}");
            assert!(asked(least - 1).await && asked(most + 1).await, "{path}: beyond {name}");
            tried.insert(name);
        }
    }
    for name in ["hours", "limit", "months", "page", "page_size", "wait"] {
        assert!(tried.contains(name), "{name} has no documented limits");
    }
    system.end().await;
}

fn could_be(literal: &str, template: &str) -> bool {
    let (literal, template): (Vec<_>, Vec<_>) =
        (literal.split('/').collect(), template.split('/').collect());
    literal.len() == template.len()
        && literal.iter().zip(&template).all(|(l, t)| l == t || t.starts_with('{'))
}

#[tokio::test(flavor = "multi_thread")]
async fn literal_paths_win_over_parameters() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let document = document();
    let paths: BTreeSet<String> = operations(&document).into_iter().map(|(_, p, _)| p).collect();
    let mut pairs = vec![];
    for literal in paths.iter().filter(|path| !path.contains('{')) {
        for template in paths.iter().filter(|path| path.contains('{')) {
            if could_be(literal, template) {
                pairs.push((literal.as_str(), template.as_str()));
            }
        }
    }
    // A new pair gets a line here and a request below.
    let of_a_job = "/api/v1/jobs/{id}";
    let (calculate, price) =
        ("/api/v1/credits/pricing/calculate", "/api/v1/credits/pricing/{action_type}");
    let of_jobs = [("/api/v1/jobs/batch-get", of_a_job), ("/api/v1/jobs/dead", of_a_job)];
    assert_eq!(pairs, [&[(calculate, price)][..], &of_jobs].concat());
    dana.get(calculate).await.expect_problem(405, "method_not_allowed");
    dana.post(calculate).await.expect_problem(400, "invalid_body");
    dana.get("/api/v1/jobs/dead").await.expect_problem(403, "operators_only");
    let admin = system.as_user("admin").await;
    admin.get("/api/v1/jobs/dead").await.expect(200);
    let answer = dana.post_json("/api/v1/jobs/batch-get", json!({ "ids": [] })).await.expect(200);
    assert_eq!(answer.json["missing"], json!([]));
    system.end().await;
}

/// Every value of an attribute that makes a browser load something.
fn loaded(html: &str) -> Vec<String> {
    let mut found = vec![];
    for (at, _) in html.match_indices('<') {
        let tag: String = html[at..].chars().take_while(|c| *c != '>').take(2_000).collect();
        let name = tag[1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        if !["script", "link", "img", "iframe", "style", "base"].contains(&name.as_str()) {
            continue;
        }
        for attribute in ["src=", "href="] {
            if let Some((_, value)) = tag.split_once(attribute) {
                found.push(value.trim_matches(['"', '\'']).chars().take(200).collect());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_come_from_here_and_from_nowhere_else() {
    let system = System::builder().workers(0).start().await;
    let docs = system.api().get("/docs").await.expect(200);
    assert!(docs.header("content-type").unwrap().starts_with("text/html"));
    let text = &docs.text;
    assert!(text.contains("get_profile"), "the document is in the page");
    // The page itself, without what stands inside its scripts.
    let mut page = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("<script") {
        let open = rest[start..].find('>').map_or(rest.len(), |end| start + end + 1);
        page.push_str(&rest[..open]);
        rest = rest[open..].find("</script>").map_or("", |end| &rest[open + end..]);
    }
    page.push_str(rest);
    for address in loaded(&page) {
        assert!(!address.contains("//"), "the docs load {address}");
    }
    for host in ["fonts.googleapis.com", "cdn.jsdelivr.net", "unpkg.com", "fonts.gstatic.com"] {
        assert!(!page.contains(host), "{host}");
    }
    system.end().await;
}
