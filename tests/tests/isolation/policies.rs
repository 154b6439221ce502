//! Each policy is needed: without it, the matrix is another one.

use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::site::{Site, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn without_any_one_policy_the_matrix_is_another() {
    let site = Site::open().await;
    let wanted = wanted();
    let policies = site
        .texts(
            "SELECT tablename || ' ' || policyname FROM pg_policies WHERE schemaname = 'public' \
             AND policyname <> 'seaql_migrations_owner' ORDER BY 1",
        )
        .await;
    assert!(policies.len() > 80, "{} policies", policies.len());
    let mut missed = vec![];
    for policy in &policies {
        let (table, name) = policy.split_once(' ').unwrap();
        // Dropped by the owner, tried in the subjects' roles, and taken back.
        let tx = site.owner.begin().await.unwrap();
        tx.execute_unprepared(&format!("DROP POLICY {name} ON {table}")).await.unwrap();
        let found = site.matrix(Some(&[table]), &tx).await;
        tx.rollback().await.unwrap();
        if found.iter().all(|(key, may)| wanted.get(key) == Some(may)) {
            missed.push(policy.clone());
        }
    }
    assert!(missed.is_empty(), "nobody would notice: {missed:?}");
    site.close().await;
}
