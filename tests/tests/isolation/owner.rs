//! Where the tables' owner is no superuser, as on most hosted servers.

use entity::{Actor, ConnectionTrait, Db};
use migration::{Migrator, MigratorTrait};
use tests::servers;
use url::Url;
use uuid::Uuid;

use crate::site::statement;

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_role_can_own_the_tables() {
    let id = Uuid::now_v7().simple();
    let (owner, database) = (format!("farm_owner_{id}"), format!("farm_test_{id}"));
    let server = Db::owner(&servers::owner_url("postgres")).await.unwrap();
    for text in [
        format!("CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'hush'"),
        format!("CREATE DATABASE {database} OWNER {owner}"),
    ] {
        server.execute_unprepared(&text).await.unwrap();
    }
    let mut url = Url::parse(&servers::owner_url(&database)).unwrap();
    url.set_username(&owner).unwrap();
    url.set_password(Some("hush")).unwrap();
    let tables = Db::owner(url.as_str()).await.unwrap();
    Migrator::up(&tables, None).await.unwrap();
    // Back and forth: its own list of steps is not hidden from it.
    Migrator::down(&tables, Some(1)).await.unwrap();
    Migrator::up(&tables, None).await.unwrap();
    // The farm reads and writes as ever, and callers see their own.
    let db = Db::connect(&servers::url_of(&database), 1).await.unwrap();
    assert!(entity::db::is_migrated(db.read()).await.unwrap());
    let (me, other) = (Uuid::now_v7(), Uuid::now_v7());
    for user in [me, other] {
        let text = format!(
            "INSERT INTO users (id, email, role, status, subscription_tier, created_at, \
             updated_at) VALUES ('{user}', '{user}@example.test', 'user', 'active', 'free', \
             now(), now())"
        );
        db.write().execute_unprepared(&text).await.unwrap();
        let text = format!(
            "INSERT INTO teams (id, name, created_at, updated_at) \
             VALUES ('{user}', 'x', now(), now()); \
             INSERT INTO team_members (id, team_id, user_id, role, status, joined_at) \
             VALUES ('{user}', '{user}', '{user}', 'owner', 'active', now())"
        );
        db.write().execute_unprepared(&text).await.unwrap();
    }
    for (table, seen) in [("users", 1), ("teams", 1), ("team_members", 1), ("jobs", 0)] {
        let text = statement(&format!("SELECT count(*) FROM {table}"));
        let scope = db.acting_for(Actor::User(me));
        let row = scope.read().query_one_raw(text).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), seen, "{table}");
    }
    tables.close().await.unwrap();
    db.close().await.unwrap();
    servers::drop_database(&database).await;
    server.execute_unprepared(&format!("DROP ROLE {owner}")).await.unwrap();
}
