//! Every table × statement × subject, as the specification has it.

use sea_orm::TransactionTrait;

use crate::site::{Site, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_for_whom_the_specification_says_and_nobody_else() {
    let site = Site::open().await;
    // From a login without rights of its own, as the farm's processes have it.
    let login = site.login().await;
    let tx = login.begin().await.unwrap();
    let found = site.matrix(None, &tx).await;
    tx.rollback().await.unwrap();
    let wanted = wanted();
    let mut wrong = vec![];
    for (key, may) in &found {
        match wanted.get(key) {
            Some(should) if should == may => {}
            Some(should) => wrong.push(format!("{} {}: {may}, not {should}", key.0, key.1)),
            None => wrong.push(format!("{} {}: not in tests/data/isolation.tsv", key.0, key.1)),
        }
    }
    for key in wanted.keys().filter(|key| !found.contains_key(*key)) {
        wrong.push(format!("{} {}: there is no such table", key.0, key.1));
    }
    assert!(wrong.is_empty(), "select insert update delete:\n{}", wrong.join("\n"));
    login.close().await.unwrap();
    site.close().await;
}
