//! A worker worked by hand: it registers, claims, and dies when told to, so that a story decides
//! what happens between a claim and its end.

use entity::job::{Model, claim};
use entity::worker::{self, NewWorker};
use entity::{args, sql};
use jobs::Kind;
use tests::System;
use uuid::Uuid;

pub struct Hand<'a> {
    system: &'a System,
    pub id: Uuid,
}

impl<'a> Hand<'a> {
    /// Registers with an hour's lease and every kind.
    pub async fn of(system: &'a System) -> Self {
        let id = Uuid::now_v7();
        let tx = system.db().begin().await.unwrap();
        let new = NewWorker {
            id,
            host: "by hand",
            version: "0",
            kinds: &Kind::words(),
            slots: 1_000,
            lease_ms: 3_600_000,
        };
        worker::register(&tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        Self { system, id }
    }

    /// Claims what can be claimed of these.
    pub async fn claim(&self, ids: &[Uuid]) -> Vec<Model> {
        let db = self.system.db().write();
        claim::claim(db, self.id, ids, &Kind::words()).await.unwrap()
    }

    /// Claims a job that must be there for the taking.
    pub async fn take(&self, id: Uuid) -> Model {
        self.claim(&[id]).await.pop().expect("a job that can be claimed")
    }

    /// Its lease is over, as if it had been killed and ten seconds had passed.
    pub async fn die(&self) {
        let over = "UPDATE workers SET lease_until = {now-?} WHERE id = ?";
        sql::execute(self.system.db().write(), over, args![1_i64, self.id]).await.unwrap();
    }

    /// Goes without leaving anything behind.
    pub async fn sign_off(self) {
        worker::remove(self.system.db().write(), self.id).await.unwrap();
    }
}
