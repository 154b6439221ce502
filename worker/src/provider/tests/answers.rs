use super::super::answer::{Answer, read};
use super::*;

fn outcome(body: &Value) -> CallOutcome {
    read(body.to_string().as_bytes(), "asked").outcome()
}

fn inside(content: Value, status_code: i64) -> Value {
    json!({"results": [{"content": content, "status_code": status_code, "task_id": "t"}]})
}

#[test]
fn bodies_of_http_200() {
    let private = {
        let mut user = user();
        user["is_private"] = json!(true);
        envelope(user)
    };
    let flat = json!({"account": {"username": "x"}, "stats": {"followers": "1"}});
    let textual = json!({"data": {"user": user()}}).to_string();
    let cases = [
        ("profile", envelope(user()), CallOutcome::Ok),
        ("private", private, CallOutcome::Private),
        ("content as text", inside(json!(textual), 200), CallOutcome::Ok),
        (
            "flat without wrapper",
            json!({"data": {"content": flat}, "task_id": "t"}),
            CallOutcome::Ok,
        ),
        ("flat in results", inside(json!({"data": {"content": flat}}), 200), CallOutcome::Ok),
        ("flat as content", inside(flat.clone(), 200), CallOutcome::Ok),
        ("no user", inside(json!({"data": {}}), 200), CallOutcome::Empty),
        ("null user", envelope(Value::Null), CallOutcome::Empty),
        ("empty user", envelope(json!({})), CallOutcome::Empty),
        ("no data", inside(json!({"status": "ok"}), 200), CallOutcome::Empty),
        ("inner 404", inside(json!(""), 404), CallOutcome::Empty),
        ("inner 404 page", inside(json!("<html>"), 404), CallOutcome::Empty),
        (
            "parsed not found",
            inside(json!({"data": {"status_code": 12_009}}), 200),
            CallOutcome::Empty,
        ),
        (
            "613 on top",
            json!({"status": "failed", "status_code": 613, "task_id": "t"}),
            CallOutcome::Instability,
        ),
        ("613 inside", inside(json!(""), 613), CallOutcome::Instability),
        ("613 in content", inside(json!({"status_code": 613}), 200), CallOutcome::Instability),
        ("pending by id", json!({"id": "1", "status": "pending"}), CallOutcome::Instability),
        (
            "error by task",
            json!({"task_id": "1", "status": "error", "results": []}),
            CallOutcome::Instability,
        ),
        ("failed, no results", json!({"status": "Failed"}), CallOutcome::Instability),
        ("error message", json!({"message": "Internal error"}), CallOutcome::Instability),
        ("no result", json!({"results": []}), CallOutcome::Instability),
        ("no content", json!({"results": [{"status_code": 200}]}), CallOutcome::Instability),
        ("inner 429", inside(json!({}), 429), CallOutcome::Instability),
        ("inner 401", inside(json!({}), 401), CallOutcome::Instability),
        (
            "platform refuses",
            inside(json!({"status": "fail", "message": "wait"}), 200),
            CallOutcome::Instability,
        ),
        ("bare text", json!("Too many"), CallOutcome::BadShape),
        ("bare array", json!([1]), CallOutcome::BadShape),
        ("unknown", json!({"foo": 1}), CallOutcome::BadShape),
        ("unknown data", json!({"data": {"foo": 1}}), CallOutcome::BadShape),
        ("results of text", json!({"results": "x"}), CallOutcome::BadShape),
        ("result of text", json!({"results": ["x"]}), CallOutcome::BadShape),
        ("content page", inside(json!("<html>"), 200), CallOutcome::BadShape),
        ("content list", inside(json!([1]), 200), CallOutcome::BadShape),
        ("user of text", envelope(json!("x")), CallOutcome::BadShape),
        ("user unknown", envelope(json!({"foo": 1})), CallOutcome::BadShape),
    ];
    for (name, body, expected) in cases {
        assert_eq!(outcome(&body), expected, "{name}");
    }
}

#[test]
fn broken_json_is_a_passing_failure_and_deep_json_is_garbage() {
    for body in ["", "<html>oops</html>", "{\"results\": [", "\u{feff}"] {
        let answer = read(body.as_bytes(), "asked");
        assert_eq!(answer.outcome(), CallOutcome::Instability, "{body}");
    }
    let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read(bomb.as_bytes(), "asked"), Answer::Garbage { .. }));
    let hidden = inside(json!(format!("{}{}", "[".repeat(500), "]".repeat(500))), 200);
    assert_eq!(outcome(&hidden), CallOutcome::BadShape, "a bomb inside the textual content");
}

#[test]
fn garbage_keeps_its_body_and_reports_never_print_it() {
    let Answer::Garbage { raw, reason, .. } = read(b"{\"foo\": \"secret words\"}", "asked") else {
        panic!("garbage expected");
    };
    assert_eq!(raw, "{\"foo\": \"secret words\"}");
    assert!(!reason.contains("secret words"));
    let printed = format!("{:?}", FetchOutcome::BadShape { reason, raw });
    assert!(!printed.contains("secret words"), "{printed}");
}
