//! Who takes part, what Dana owns, and how one knows it again.

use std::collections::BTreeMap;

use entity::{args, sql};
use jobs::kinds::noop::{Noop, NoopFail};
use sea_orm::QueryResult;
use serde_json::{Value, json};
use tests::{Answer, Client, PASSWORD, System};
use uuid::Uuid;

use super::table::Words;
use crate::common::{fetched, id_of, noop, submit};

/// How Dana calls her list.
const LIST: &str = "Candlelight shortlist";
/// Whom only Dana looks for.
const WISHES: [&str; 2] = ["dana_waits_for_one", "dana_waits_for_more"];

/// Somebody who has signed in.
#[derive(Clone)]
pub struct Person {
    pub name: &'static str,
    pub client: Client,
    /// The words that are their own.
    pub own: Words,
}

impl Person {
    pub async fn signed_in(system: &System, name: &'static str) -> Self {
        let body = json!({ "email": system.user(name).await.email, "password": PASSWORD });
        let session = system.api().post_json("/api/v1/auth/login", body).await.expect(200).json;
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        let client = system.with_token(&text("access_token"));
        let own = [("me", name.to_owned()), ("refresh", text("refresh_token"))].into();
        Self { name, client, own }
    }

    /// The same without showing who they are.
    pub fn stranger(self, system: &System) -> Self {
        Self { client: system.api(), ..self }
    }
}

/// What Dana owns, by the words of the table.
pub async fn set_up(system: &mut System, dana: &Person) -> Words {
    let client = &dana.client;
    let gus = system.as_user("gus").await;
    fetched(system, &gus, "demo_fitness").await;
    let bought = client.get("/api/v1/instagram/profile/demo_fitness").await.expect(200);
    let spend = bought.header("x-transaction-id").unwrap().to_owned();

    let finished = fetched(system, client, "demo_travel").await;
    let creator = finished["result"]["profile_id"].as_str().unwrap().to_owned();
    let fatal = Noop { fail: Some(NoopFail::Fatal), ..Noop::default() };
    let failed = noop(system, dana.name, &fatal).await;
    system.finish(failed).await;
    let user = system.user(dana.name).await.id;
    let list = list_of(system, user, creator.parse().unwrap()).await;
    let order = json!({ "usernames": ["demo_travel"], "format": "csv" });
    let export = id_of(&client.post_json("/api/export", order.clone()).await.expect(202).json);
    system.finish(export).await;

    // From here on work waits.
    system.stop_worker().await;
    let waiting = submit(client, WISHES[0]).await;
    submit(client, WISHES[1]).await;
    let ordered = id_of(&client.post_json("/api/export", order).await.expect(202).json);
    let search = "SELECT id AS mark FROM user_searches WHERE user_id = ?";
    let search = texts(system, search, user).await[0].replace('-', "");
    let posts = client.get("/api/profile/demo_travel/posts").await.expect(200).json;
    [
        ("creator", "demo_travel".to_owned()),
        ("creator_id", creator),
        ("email", system.user(dana.name).await.email),
        ("export", export.to_string()),
        ("failed", failed.to_string()),
        ("finished", id_of(&finished).to_string()),
        ("for_sale", "demo_fitness".to_owned()),
        ("list", list.to_string()),
        ("ordered", ordered.to_string()),
        ("post", posts["items"][0]["shortcode"].as_str().unwrap().to_owned()),
        ("search", format!("253402300799000.{search}")),
        ("spend", spend),
        ("user", user.to_string()),
        ("waiting", waiting.to_string()),
    ]
    .into()
}

/// The same words for things that nobody has.
pub fn nobodys(things: &Words) -> Words {
    let instead = |value: &String| match value.parse::<Uuid>() {
        Ok(_) => Uuid::now_v7().to_string(),
        Err(_) if value.contains('@') => "nobody@example.test".to_owned(),
        Err(_) => value.clone(),
    };
    things.iter().map(|(word, value)| (*word, instead(value))).collect()
}

async fn list_of(system: &System, owner: Uuid, creator: Uuid) -> Uuid {
    let (db, list) = (system.db().write(), Uuid::now_v7());
    let text = "INSERT INTO user_lists (id, user_id, name, created_at, updated_at) \
         VALUES (?, ?, ?, {now}, {now})";
    sql::execute(db, text, args![list, owner, LIST]).await.unwrap();
    let text = "INSERT INTO user_list_items (id, list_id, profile_id, position, created_at) \
         VALUES (?, ?, ?, 0, {now})";
    sql::execute(db, text, args![Uuid::now_v7(), list, creator]).await.unwrap();
    list
}

/// A column named `mark`, of ids or of texts.
async fn texts(system: &System, select: &str, user: Uuid) -> Vec<String> {
    let rows = sql::rows(system.db().read(), select, args![user]).await.unwrap();
    let text = |row: &QueryResult| match row.try_get::<Uuid>("", "mark") {
        Ok(id) => id.to_string(),
        Err(_) => row.try_get("", "mark").unwrap(),
    };
    rows.iter().map(text).collect()
}

/// What only Dana may see, by kind: texts by which it is known wherever it turns up.
pub struct Marks(BTreeMap<&'static str, Vec<String>>);

/// Kinds that no answer shows, not even to her.
const NEVER_SHOWN: [&str; 7] =
    ["file", "grant of access", "grant of credits", "hold", "list", "list's name", "session"];

impl Marks {
    /// All there are of this user by now.
    pub async fn of(system: &System, user: Uuid) -> Self {
        let hers = "user_id = ?";
        let posts = "posts WHERE profile_id IN (SELECT i.profile_id FROM user_list_items i \
             JOIN user_lists l ON l.id = i.list_id WHERE l.user_id = ?)";
        let wallet = "wallet_id IN (SELECT id FROM credit_wallets WHERE user_id = ?)";
        let mut marks = BTreeMap::from([("wish", WISHES.map(str::to_owned).to_vec())]);
        for (kind, column, from) in [
            ("address", "email", "users WHERE id = ?".to_owned()),
            ("checksum", "sha256", format!("exports WHERE {hers}")),
            ("file", "object_key", format!("exports WHERE {hers}")),
            ("grant of access", "id", format!("user_profile_access WHERE {hers}")),
            ("grant of credits", "id", format!("credit_grants WHERE {wallet}")),
            ("herself", "id", "users WHERE id = ?".to_owned()),
            ("hold", "id", format!("credit_holds WHERE {hers}")),
            ("job", "id", format!("jobs WHERE {hers}")),
            ("list", "id", format!("user_lists WHERE {hers}")),
            ("list's name", "name", format!("user_lists WHERE {hers}")),
            ("order", "id", format!("credit_top_up_orders WHERE {hers}")),
            ("order's name", "order_reference", format!("credit_top_up_orders WHERE {hers}")),
            ("post", "id", posts.to_owned()),
            ("post's code", "shortcode", posts.to_owned()),
            ("search", "id", format!("user_searches WHERE {hers}")),
            ("session", "id", format!("sessions WHERE {hers}")),
            ("transaction", "id", format!("credit_transactions WHERE {hers}")),
            ("watched job", "job_id", format!("job_watchers WHERE {hers}")),
        ] {
            let select = format!("SELECT {column} AS mark FROM {from}");
            marks.insert(kind, texts(system, &select, user).await);
        }
        Self(marks)
    }

    /// The first that is in the text, and of what kind it is.
    pub fn found_in(&self, text: &str) -> Option<String> {
        let is_in = |mark: &String| text.contains(mark) || text.contains(&mark.replace('-', ""));
        self.0.iter().find_map(|(kind, marks)| {
            marks.iter().find(|mark| is_in(mark)).map(|mark| format!("{kind} {mark}"))
        })
    }

    /// Fails unless there are marks of every kind, and her own answers show those that can be
    /// shown: what is looked for must be what would be seen.
    pub fn are_in(&self, hers: &str) {
        for (kind, marks) in &self.0 {
            assert!(!marks.is_empty(), "Dana has no {kind}");
            let shown = marks.iter().any(|mark| hers.contains(mark.as_str()));
            assert!(shown || NEVER_SHOWN.contains(kind), "nothing shows Dana her {kind}");
        }
    }
}

/// Everything an answer says, its headers included.
pub fn everything(answer: &Answer) -> String {
    let header = |(name, value): (_, &poem::http::HeaderValue)| format!("{name:?}: {value:?}\n");
    answer.headers.iter().map(header).chain([answer.text.clone()]).collect()
}

/// All rows of a user's, table by table.
pub async fn rows_of(system: &System, user: Uuid) -> BTreeMap<&'static str, Vec<String>> {
    let mut all = BTreeMap::new();
    for (table, whose) in [
        ("users", "id = ?"),
        ("sessions", "user_id = ?"),
        ("refresh_tokens", "session_id IN (SELECT id FROM sessions WHERE user_id = ?)"),
        ("team_members", "user_id = ?"),
        ("jobs", "user_id = ?"),
        ("job_watchers", "user_id = ?"),
        ("job_events", "job_id IN (SELECT id FROM jobs WHERE user_id = ?)"),
        ("idempotency_keys", "user_id = ?"),
        ("user_searches", "user_id = ?"),
        ("user_profile_access", "user_id = ?"),
        ("unlocked_influencers", "user_id = ?"),
        ("user_lists", "user_id = ?"),
        ("user_list_items", "list_id IN (SELECT id FROM user_lists WHERE user_id = ?)"),
        ("exports", "user_id = ?"),
        ("credit_wallets", "user_id = ?"),
        ("credit_grants", "wallet_id IN (SELECT id FROM credit_wallets WHERE user_id = ?)"),
        ("credit_holds", "user_id = ?"),
        ("credit_transactions", "user_id = ?"),
        ("credit_usage", "user_id = ?"),
        ("credit_top_up_orders", "user_id = ?"),
    ] {
        let select = format!("SELECT * FROM {table} WHERE {whose}");
        let rows: Vec<Value> = sql::all(system.db().read(), &select, args![user]).await.unwrap();
        // Events are of what others did to a job, so there should be none.
        assert!(!rows.is_empty() || table == "job_events", "Dana has no {table}");
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort_unstable();
        all.insert(table, rows);
    }
    all
}
