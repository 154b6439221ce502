//! A worker worked by hand: it registers, claims, and dies when told to, so that a story decides
//! what happens between a claim and its end.

use entity::job::{Model, claim};
use entity::worker::{self, NewWorker};
use entity::{Db, args, sql};
use jobs::Kind;
use uuid::Uuid;

pub struct Hand<'a> {
    db: &'a Db,
    pub id: Uuid,
}

impl<'a> Hand<'a> {
    /// Registers with an hour's lease and every kind.
    pub async fn of(db: &'a Db) -> Self {
        Self::of_kinds(db, &Kind::words()).await
    }

    /// Registers with an hour's lease and these kinds.
    pub async fn of_kinds(db: &'a Db, kinds: &[&str]) -> Self {
        let id = Uuid::now_v7();
        let tx = db.begin().await.unwrap();
        let new = NewWorker {
            id,
            host: "by hand",
            version: "0",
            kinds,
            slots: 1_000,
            lease_ms: 3_600_000,
        };
        worker::register(&tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        Self { db, id }
    }

    /// Claims what can be claimed of these.
    pub async fn claim(&self, ids: &[Uuid]) -> Vec<Model> {
        claim::claim(self.db.write(), self.id, ids, &Kind::words()).await.unwrap()
    }

    /// Claims a job that must be there for the taking.
    pub async fn take(&self, id: Uuid) -> Model {
        self.claim(&[id]).await.pop().expect("a job that can be claimed")
    }

    /// Its lease is over, as if it had been killed and ten seconds had passed.
    pub async fn die(&self) {
        let over = "UPDATE workers SET lease_until = {now-?} WHERE id = ?";
        sql::execute(self.db.write(), over, args![1_i64, self.id]).await.unwrap();
    }

    /// Goes without leaving anything behind.
    pub async fn sign_off(self) {
        worker::remove(self.db.write(), self.id).await.unwrap();
    }
}
