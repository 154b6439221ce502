//! A pooler between the farm and Postgres.

use entity::args;
use jobs::process::{Env, Settings};
use tests::cluster::{Cluster, Options};
use tests::pooler::Pooler;

use crate::storm::{Storm, lasting, lease_s};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_pooler_with_four_connections_serves_a_whole_cluster() {
    let options = Options { apis: 2, pooler: true, lease_s: lease_s(), ..Options::default() };
    let mut storm = Storm::begin("behind a pooler", Cluster::start(options).await).await;
    storm.until("jobs WHERE state = 'succeeded'", 50).await;
    storm.lost_a_worker().await;
    storm.cluster.workers.remove(0).kill();
    storm.cluster.add_worker();
    tokio::time::sleep(lasting(4, 30)).await;
    // Nobody had to wait for long, and nothing was refused.
    storm.end().await;
}

/// Who forgets to say so is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_the_url_keeps_quiet_about_is_noticed_at_start() {
    let name = format!("farm_test_{}", uuid::Uuid::now_v7().simple());
    let direct = tests::servers::new_database(&name).await;
    let pooler = Pooler::start(&direct);
    let open = async |told: bool| {
        let url = pooler.url(&direct, told);
        let env = Env::of([("DATABASE_URL".to_owned(), url)]).unwrap();
        Settings::read(&env).unwrap().connect_migrated(4, entity::db::Plans::Fresh).await
    };
    let refused = open(false).await.unwrap_err();
    assert!(refused.0.contains("add ?pgbouncer=true to DATABASE_URL"), "{refused}");
    let db = open(true).await.unwrap();
    // More at once than the pooler has connections, and ever new statements.
    let queries = (0..64).map(|n| {
        let db = db.clone();
        let select = format!("SELECT count(*) + {n} AS n FROM jobs WHERE id <> ?");
        async move { entity::sql::rows(db.read(), &select, args![uuid::Uuid::nil()]).await }
    });
    for answer in futures_util::future::join_all(queries).await {
        answer.unwrap();
    }
    drop(pooler);
    tests::servers::drop_database(&name).await;
}
