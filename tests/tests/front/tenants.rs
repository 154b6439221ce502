//! Every operation of the OpenAPI document, called by everybody with the ids of one tenant, against
//! a table that was written by hand from the specification.

use std::collections::BTreeSet;

use entity::{args, sql};
use poem::http::Method;
use serde_json::{Value, json};
use tests::{Answer, Client, System};
use uuid::Uuid;

use crate::common::{fetched, id_of, posts, submit};

/// A line of the table.
struct Row {
    method: String,
    path: String,
    /// Statuses for a stranger, the owner, another tenant, an operator.
    statuses: [u16; 4],
    body: Option<String>,
}

const STRANGER: usize = 0;
const OWNER: usize = 1;
const OTHER: usize = 2;
const OPERATOR: usize = 3;

fn table() -> Vec<Row> {
    let text = include_str!("../../data/http-isolation.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [method, path, statuses @ .., body] = cells.as_slice() else { panic!("{line}") };
            let statuses: Vec<u16> = statuses.iter().map(|cell| cell.parse().unwrap()).collect();
            Row {
                method: (*method).to_owned(),
                path: (*path).to_owned(),
                statuses: statuses.try_into().unwrap(),
                body: Some(*body).filter(|body| !body.is_empty()).map(str::to_owned),
            }
        })
        .collect()
}

/// A path as the document has it, whatever its parameters are called.
fn shape(method: &str, path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

/// What Dana has.
struct Dana {
    names: Vec<(&'static str, String)>,
    /// Words that are hers alone.
    marks: Vec<String>,
}

impl Dana {
    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// The same, of things that nobody has.
    fn fill_with_strangers(&self, text: &str) -> String {
        ["{job}", "{export}", "{list}"]
            .iter()
            .fold(text.to_owned(), |text, name| text.replace(name, &Uuid::now_v7().to_string()))
    }
}

async fn furnish(system: &mut System, dana: &Client) -> Dana {
    let user = system.user("dana").await.id;
    fetched(system, dana, "demo_travel").await;
    fetched(system, &system.as_user("admin").await, "demo_food").await;
    // What she paid for.
    let bought = dana.get("/api/v1/instagram/profile/demo_food").await.expect(200);
    let spend = bought.header("x-transaction-id").unwrap().to_owned();
    let first = dana.get(&posts("demo_travel")).await.expect(200).json["items"][0].clone();
    let seen = dana.get("/api/profile/demo_travel").await.expect(200).json;
    let profile: Uuid = seen["profile_id"].as_str().unwrap().parse().unwrap();
    let order = json!({ "format": "csv", "profile_ids": [profile] });
    let export = id_of(&dana.post_json("/api/export", order).await.expect(202).json);
    system.finish(export).await;
    let order = dana.post_json("/api/v1/credits/top-up", json!({ "credits": 7 })).await.expect(201);
    let list = Uuid::now_v7();
    for (text, values) in [
        (
            "INSERT INTO user_lists (id, user_id, name, created_at, updated_at) \
             VALUES (?, ?, 'hers alone', {now}, {now})",
            args![list, user],
        ),
        (
            "INSERT INTO user_list_items (id, list_id, profile_id, position, created_at) \
             VALUES (?, ?, ?, 0, {now})",
            args![Uuid::now_v7(), list, profile],
        ),
    ] {
        sql::execute(system.db().write(), text, values).await.unwrap();
    }
    // Waits from now on, as everything does that the callers start.
    system.stop_worker().await;
    let job = submit(dana, "demo_tech").await;
    Dana {
        marks: vec![
            "dana@example.test".to_owned(),
            "hers alone".to_owned(),
            job.to_string(),
            export.to_string(),
            list.to_string(),
            spend.clone(),
            order.json["order_reference"].as_str().unwrap().to_owned(),
        ],
        names: vec![
            ("{job}", job.to_string()),
            ("{export}", export.to_string()),
            ("{list}", list.to_string()),
            ("{creator}", "demo_travel".to_owned()),
            ("{profile}", profile.to_string()),
            ("{post}", first["shortcode"].as_str().unwrap().to_owned()),
            ("{spend}", spend),
            ("{user}", user.to_string()),
            ("{action}", "influencer_unlock".to_owned()),
            ("{queue}", "ai".to_owned()),
            ("{token}", "never-given".to_owned()),
        ],
    }
}

/// What of hers must not change by what others do.
async fn hers(system: &System) -> Vec<i64> {
    let mut counts = vec![];
    for what in [
        "count(*) AS n FROM jobs WHERE user_id IN {dana} AND state = 'queued'",
        "count(*) AS n FROM jobs WHERE user_id IN {dana}",
        "count(*) AS n FROM credit_transactions WHERE user_id IN {dana}",
        "CAST(sum(available + held) AS bigint) AS n FROM credit_wallets WHERE user_id IN {dana}",
        "count(*) AS n FROM credit_wallets WHERE user_id IN {dana} AND is_locked",
        "count(*) AS n FROM credit_holds WHERE user_id IN {dana}",
        "count(*) AS n FROM credit_top_up_orders WHERE user_id IN {dana}",
        "count(*) AS n FROM unlocked_influencers WHERE user_id IN {dana}",
        "count(*) AS n FROM user_searches WHERE user_id IN {dana}",
        "count(*) AS n FROM user_profile_access WHERE user_id IN {dana}",
        "CAST(sum(download_count) AS bigint) AS n FROM exports WHERE user_id IN {dana}",
        "count(*) AS n FROM user_list_items i JOIN user_lists l ON l.id = i.list_id \
         WHERE l.user_id IN {dana}",
    ] {
        let dana = "(SELECT id FROM users WHERE email = 'dana@example.test')";
        counts.push(system.count(&format!("SELECT {}", what.replace("{dana}", dana))).await);
    }
    counts
}

async fn call(client: &Client, row: &Row, path: &str, body: Option<String>) -> Answer {
    if path.ends_with("/events") || path.ends_with("/live-stream") {
        let response = client.open(path).await;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            return Answer { status, headers, text: String::new(), json: Value::Null };
        }
    }
    client.send(Method::from_bytes(row.method.as_bytes()).unwrap(), path, body).await
}

/// Without what differs from request to request.
fn masked(answer: &Answer) -> String {
    let mut json = answer.json.clone();
    if let Some(object) = json.as_object_mut() {
        object.remove("request_id");
    }
    let text = json.to_string();
    let ids = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let ids: BTreeSet<&str> = ids.filter(|part| part.parse::<Uuid>().is_ok()).collect();
    ids.into_iter().fold(text.clone(), |text, id| text.replace(id, "ID"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_what_is_anothers_by_any_operation() {
    let mut system = System::start().await;
    let dana = system.as_user("dana").await;
    let mallory = system.as_user("mallory").await;
    let operator = system.as_user("admin").await;
    let has = furnish(&mut system, &dana).await;
    // What she may not see she could buy; here she cannot.
    mallory.post("/api/v1/credits/wallet/create").await.expect(200);
    let lock = format!("/api/v1/admin/credits/wallets/{}/lock", system.user("mallory").await.id);
    let why = json!({ "locked": true, "reason": "a test" });
    operator.post_json(&lock, why).await.expect(200);

    let rows = table();
    let document = system.api().get("/openapi.json").await.expect(200).json;
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if ["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                operations.insert(shape(&method.to_uppercase(), path));
            }
        }
    }
    let known: BTreeSet<String> = rows.iter().map(|row| shape(&row.method, &row.path)).collect();
    let without_row: Vec<_> = operations.difference(&known).collect();
    assert!(without_row.is_empty(), "not in tests/data/http-isolation.tsv: {without_row:?}");
    let without_operation: Vec<_> = known.difference(&operations).collect();
    assert!(without_operation.is_empty(), "no such operation: {without_operation:?}");

    let before = hers(&system).await;
    let stranger = system.api();
    let callers = [(STRANGER, &stranger), (OTHER, &mallory), (OWNER, &dana), (OPERATOR, &operator)];
    let mut wrong = vec![];
    for (who, client) in callers {
        for row in &rows {
            let body = row.body.as_deref().map(|body| has.fill(body));
            let answer = call(client, row, &has.fill(&row.path), body.clone()).await;
            let (what, wanted) = (format!("{} {}", row.method, row.path), row.statuses[who]);
            if answer.status.as_u16() != wanted {
                wrong.push(format!("{what}, caller {who}: {}, not {wanted}", answer.status));
                continue;
            }
            let is_theirs = who == OWNER || who == OPERATOR;
            // A creator's id is everybody's; what one asked with comes back in what is missing.
            let asked = format!("{}{}", has.fill(&row.path), body.clone().unwrap_or_default());
            let leaks = has.marks.iter().filter(|mark| answer.text.contains(*mark));
            let leaks: Vec<_> = leaks.filter(|mark| !asked.contains(*mark)).collect();
            if !is_theirs && !leaks.is_empty() {
                wrong.push(format!("{what}, caller {who}, shows {leaks:?}"));
            }
            if !is_theirs && answer.status.as_u16() == 404 {
                let nowhere = has.fill(&has.fill_with_strangers(&row.path));
                let nobodys = call(client, row, &nowhere, body).await;
                if masked(&nobodys) != masked(&answer) {
                    wrong.push(format!("{what} tells what is there: {}", answer.text));
                }
            }
        }
        if who == OTHER {
            assert_eq!(hers(&system).await, before, "what strangers did changed what is hers");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What was named with her ids and not shown.
    let named = json!({ "ids": [has.names[0].1] });
    let none = mallory.post_json("/api/v1/jobs/batch-get", named).await.expect(200).json;
    assert_eq!(
        (none["items"].as_array().unwrap().len(), &none["missing"][0]),
        (0, &json!(has.names[0].1))
    );
    system.end_with_open_jobs().await;
}
