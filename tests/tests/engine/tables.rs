//! The tables: every step goes back and forth.

use migration::{Migrator, MigratorTrait};
use tests::System;

#[tokio::test(flavor = "multi_thread")]
async fn every_step_can_be_taken_back_and_taken_again() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let tables = system.owner().await;
    let steps = Migrator::migrations().len() as u32;
    for back in 1..=steps {
        Migrator::down(&tables, Some(back)).await.unwrap();
        assert!(!entity::db::is_migrated(system.db().read()).await.unwrap());
        Migrator::up(&tables, None).await.unwrap();
        assert!(entity::db::is_migrated(system.db().read()).await.unwrap());
    }
    system.end().await;
}
