//! Two tenants, every operation: nobody sees or touches what is another's. What each operation
//! promises stands in `tests/data/http-isolation.tsv`; here all of it is tried.

mod table;
mod things;

use std::collections::{BTreeMap, BTreeSet};

use poem::http::Method;
use serde_json::{Value, json};
use tests::{Answer, System};

use crate::common::{Stream, check_refusal, id_of, job, refresh};
use table::{Request, Row, Rule, Words};
use things::{Marks, Person, everything, nobodys, rows_of, set_up};

const LOGOUT: &str = "/api/v1/auth/logout";

/// What a status must not be when the request is a good one of somebody who may: then nothing is
/// masked by a body that was refused before anything was checked.
const MASKS: [u16; 6] = [400, 401, 403, 404, 405, 422];

/// The farm with all who take part.
struct Stage {
    system: System,
    dana: Person,
    mallory: Person,
    stranger: Person,
    admin: Person,
    hers: Words,
    nobodys: Words,
    /// Everything that went wrong, so that one run tells all of it.
    wrong: Vec<String>,
}

impl Stage {
    async fn open() -> Self {
        let mut system = System::builder().without_upkeep().start().await;
        let dana = Person::signed_in(&system, "dana").await;
        let hers = set_up(&mut system, &dana).await;
        let mallory = Person::signed_in(&system, "mallory").await;
        let stranger = Person::signed_in(&system, "stranger").await.stranger(&system);
        let admin = Person::signed_in(&system, "admin").await;
        let nobodys = nobodys(&hers);
        Self { system, dana, mallory, stranger, admin, hers, nobodys, wrong: vec![] }
    }

    fn expect(&mut self, good: bool, who: &Person, request: &Request, answer: &Answer, why: &str) {
        if !good {
            let (name, status, text) = (who.name, answer.status, &answer.text);
            self.wrong.push(format!("{name}: {request}: {why}: {status} {text:.300}"));
        }
    }

    fn check(&self) {
        let wrong = &self.wrong;
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Whoever signs out does so with a session they need for nothing else.
    async fn caller(&self, row: &Row, who: &Person) -> Person {
        if row.path == LOGOUT {
            return Person::signed_in(&self.system, who.name).await;
        }
        who.clone()
    }

    /// Sends a row's requests about Dana's things as somebody who may, and returns what they were
    /// told.
    async fn may(&mut self, row: &Row, who: &Person) -> String {
        let mut told = String::new();
        for request in row.requests(&self.hers, &who.own) {
            let answer = request.sent(&self.caller(row, who).await.client).await;
            let good = !MASKS.contains(&answer.status.as_u16());
            // What of hers has ended cannot be stopped, what failed has no result, and there are
            // no pictures here to look at again.
            let past = matches!(row.rule, Rule::Owner | Rule::Access);
            let good = good && (answer.status.is_success() || past);
            self.expect(good, who, &request, &answer, "it is allowed");
            told.push_str(&everything(&answer));
        }
        told
    }

    async fn may_not(&mut self, row: &Row, who: &Person) {
        for request in row.requests(&self.hers, &who.own) {
            let answer = request.sent(&who.client).await;
            let good = answer.status == 403 && answer.json["code"] == "operators_only";
            self.expect(good, who, &request, &answer, "it is for operators");
        }
    }

    /// Without a token: nothing, unless it is public.
    async fn try_stranger(&mut self, row: &Row, marks: &Marks) {
        let who = self.stranger.clone();
        let for_nobody = row.requests(&self.nobodys, &who.own);
        for (request, other) in row.requests(&self.hers, &who.own).iter().zip(&for_nobody) {
            let answer = request.sent(&who.client).await;
            if row.rule == Rule::Public {
                // A token of a mail that was never sent confirms nothing.
                let absent = answer.status == 404 && answer.json["code"] == "nothing_to_confirm";
                let good = answer.status.is_success() || absent;
                self.expect(good, &who, request, &answer, "it is public");
                if !request.named.is_empty() {
                    let same = plain(other, &other.sent(&who.client).await);
                    let good = plain(request, &answer) == same;
                    self.expect(good, &who, request, &answer, "it tells who has an account");
                }
            } else {
                self.expect(answer.status == 401, &who, request, &answer, "it lets strangers in");
            }
            self.expect_no(marks, &who, request, &answer);
        }
    }

    /// As a user of another team, with Dana's names.
    async fn try_mallory(&mut self, row: &Row, marks: &Marks) {
        let who = self.mallory.clone();
        let for_nobody = row.requests(&self.nobodys, &who.own);
        for (request, other) in row.requests(&self.hers, &who.own).iter().zip(&for_nobody) {
            let answer = request.sent(&self.caller(row, &who).await.client).await;
            let status = answer.status.as_u16();
            let good = match row.rule {
                Rule::Operator => status == 403 && answer.json["code"] == "operators_only",
                Rule::Access => status == 403,
                Rule::Owner => status == 404 || status == 403,
                Rule::Lookup | Rule::Preview | Rule::Pays => status == 200,
                Rule::Starts => status == 202,
                Rule::Public | Rule::User | Rule::Shared => answer.status.is_success(),
            };
            let good = good || row.rule == Rule::Public;
            self.expect(good, &who, request, &answer, &format!("not as for {:?}", row.rule));
            self.expect_no(marks, &who, request, &answer);
            if status == 403 {
                check_refusal(&answer);
            }
            if matches!(row.rule, Rule::Owner | Rule::Lookup) {
                assert_ne!(request.named, Vec::<String>::new(), "{request} names nothing");
                let same = plain(other, &other.sent(&who.client).await);
                let good = plain(request, &answer) == same;
                self.expect(good, &who, request, &answer, &format!("told apart from {same:?}"));
            }
            if row.rule == Rule::Shared {
                let hers = request.sent(&self.dana.client).await;
                let good = blurred(&hers.json) == blurred(&answer.json);
                self.expect(good, &who, request, &answer, "others are told otherwise");
            }
        }
    }

    fn expect_no(&mut self, marks: &Marks, who: &Person, request: &Request, answer: &Answer) {
        let found = marks.found_in(&request.without_names(&everything(answer)));
        let why = format!("it shows Dana's {}", found.as_deref().unwrap_or_default());
        self.expect(found.is_none(), who, request, answer, &why);
    }
}

/// An answer without what differs for every request and what the request itself named.
fn plain(request: &Request, answer: &Answer) -> (u16, Value, BTreeSet<String>) {
    let text = request.without_names(&answer.text);
    let mut json = serde_json::from_str(&text).unwrap_or(Value::String(text));
    json.get_mut("request_id").map(Value::take);
    let headers = answer.headers.keys().map(ToString::to_string).collect();
    (answer.status.as_u16(), json, headers)
}

/// A value whose figures are all the same.
fn blurred(value: &Value) -> Value {
    match value {
        Value::Number(_) => json!(0),
        Value::Array(items) => items.iter().map(blurred).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), blurred(value))).collect()
        }
        other => other.clone(),
    }
}

/// Fails unless the table has the operations of the document that the API serves, all of them and
/// no others, and the document says of them what the table does.
async fn check_complete(system: &System, table: &[Row]) {
    let document = system.api().get("/openapi.json").await.expect(200).json;
    let mut operations = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.insert((method.to_uppercase(), path.clone()), operation);
        }
    }
    let of = |row: &Row| (row.method.to_string(), row.path.clone());
    let tried: BTreeSet<_> = table.iter().map(of).collect();
    let documented: BTreeSet<_> = operations.keys().cloned().collect();
    let missing: Vec<_> = documented.difference(&tried).collect();
    assert!(missing.is_empty(), "without a row in tests/data/http-isolation.tsv: {missing:?}");
    let gone: Vec<_> = tried.difference(&documented).collect();
    assert!(gone.is_empty(), "rows of tests/data/http-isolation.tsv without operation: {gone:?}");
    for row in table {
        let wants = match row.rule {
            Rule::Public => Value::Null,
            Rule::Operator => json!([{ "Operator": [] }]),
            _ => json!([{ "Caller": [] }]),
        };
        assert_eq!(operations[&of(row)]["security"], wants, "{} {}", row.method, row.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_shows_or_changes_what_is_anothers() {
    let mut stage = Stage::open().await;
    let table = table::rows();
    check_complete(&stage.system, &table).await;
    let (dana, admin) = (stage.dana.clone(), stage.admin.clone());
    let user = stage.hers["user"].parse().unwrap();

    // Dana does whatever leaves what she has as it is, and leaves more behind.
    let later = |row: &&Row| matches!(row.rule, Rule::Owner | Rule::Operator | Rule::Public);
    let mut told = String::new();
    for row in table.iter().filter(|row| !later(row)) {
        told.push_str(&stage.may(row, &dana).await);
    }
    for word in ["waiting", "finished", "failed", "export", "ordered"] {
        let id = stage.hers[word].parse().unwrap();
        told.push_str(&dana.client.get(&job(id, "/status")).await.expect(200).text);
    }
    let export = format!("/api/export/{}", stage.hers["export"]);
    told.push_str(&dana.client.get(&export).await.expect(200).text);
    stage.check();
    let marks = Marks::of(&stage.system, user).await;
    marks.are_in(&told);

    // Others try all of it with her names, and nothing of hers is another thing afterwards.
    let before = rows_of(&stage.system, user).await;
    for row in &table {
        stage.try_stranger(row, &marks).await;
        stage.try_mallory(row, &marks).await;
    }
    for (name, after) in rows_of(&stage.system, user).await {
        let new: Vec<_> = after.iter().filter(|row| !before[name].contains(row)).collect();
        if after != before[name] {
            stage.wrong.push(format!("{name}: Dana's rows are not what they were: {new:.300?}"));
        }
    }
    stage.check();

    // The same requests are good ones, when they come from those who may.
    for row in table.iter().filter(|row| row.rule == Rule::Owner) {
        stage.may(row, &dana).await;
    }
    for row in table.iter().filter(|row| row.rule == Rule::Operator) {
        stage.may_not(row, &dana).await;
        stage.may(row, &admin).await;
    }
    stage.check();
    stage.system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_work_is_not_told_who_else_wants_it() {
    let system = System::start().await;
    let dana = Person::signed_in(&system, "dana").await;
    let mallory = Person::signed_in(&system, "mallory").await;
    for name in ["one", "two"] {
        system.demo.script(name, vec![farm::demo::Scripted::Hang]);
    }
    // Dana wants two creators at once, and Mallory one of them.
    let names = json!({ "usernames": ["one", "two"] });
    let bulk = dana.client.post_json("/api/v1/analytics/bulk/profiles", names).await.expect(202);
    let bulk = id_of(&bulk.json);
    let children = tests::eventually("its children are there", || async {
        let found = entity::job_watcher::children(system.db().read(), bulk).await.unwrap();
        (found.len() == 2).then_some(found)
    })
    .await;
    let joined = mallory.client.post(&refresh("one")).await.expect(202);
    let (shared, created) = (id_of(&joined.json), &joined.json["created"]);
    assert_eq!((children.contains(&shared), created), (true, &json!(false)));
    let other = *children.iter().find(|child| **child != shared).unwrap();

    let path = |below| job(shared, below);
    let mut told = vec![everything(&joined)];
    for below in ["", "/status", "/result"] {
        told.push(everything(&mallory.client.get(&path(below)).await));
    }
    told.push(mallory.client.get("/api/v1/jobs").await.expect(200).text);
    let mut stream = Stream::open(&mallory.client, &path("/events")).await;
    told.push(stream.next().await.unwrap().data.to_string());
    let dana_is = system.user("dana").await;
    for told in &told {
        for mark in [bulk.to_string(), other.to_string(), dana_is.id.to_string()] {
            assert!(!told.contains(&mark), "{mark}: {told}");
        }
        assert!(!told.contains(&dana_is.email), "{told}");
    }
    // Dana sees where it belongs; and Mallory's leaving is not Dana's.
    let hers = dana.client.get(&path("")).await.expect(200).json;
    assert_eq!(hers["parent_id"], json!(bulk));
    let left = mallory.client.send(Method::POST, &path("/cancel"), None).await.expect(200);
    assert_eq!(left.json["state"], "cancelled");
    assert_ne!(dana.client.get(&path("")).await.expect(200).json["state"], "cancelled");
    dana.client.post(&job(bulk, "/cancel")).await.expect(200);
    system.drain().await;
    system.end().await;
}
