//! Front doors that die while what they show is paid for.

use std::time::Instant;

use entity::ledger::audit;
use tests::buyers::Buyers;
use tests::cluster::{Cluster, Options};

use crate::storm::lease_s;

/// Front doors, at either of which a customer may ask again.
const DOORS: usize = 2;

fn doors(cluster: &Cluster) -> Vec<String> {
    cluster.apis.iter().map(|api| api.said.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_buys_at_a_front_door_that_dies_pays_once() {
    let options = Options { apis: DOORS, workers: 1, lease_s: lease_s(), ..Options::default() };
    let mut cluster = Cluster::start(options).await;
    let mut users = vec![];
    for n in 0..4 {
        users.push(cluster.token(&format!("buyer{n}")).await);
    }
    let mut buyers = Buyers::start(cluster.db(), users, doors(&cluster)).await;
    let (began, mut kills) = (Instant::now(), 0);
    while buyers.go_on(began, kills, 6) {
        buyers.buy(cluster.db(), 40).await;
        kills += 1;
        // The other one goes on meanwhile; every third time there is none.
        cluster.apis.remove(0).kill();
        if kills % 3 == 0 {
            cluster.apis.remove(0).kill();
        }
        buyers.robbed(cluster.db()).await;
        let found = audit::audit(cluster.db().read()).await.unwrap();
        assert!(found.drifts.is_empty() && found.unbooked_holds == 0, "{found:#?}");
        while cluster.apis.len() < DOORS {
            cluster.add_api();
        }
        buyers.doors(doors(&cluster));
    }
    let bought = buyers.end(cluster.db()).await;
    println!("front doors killed {kills} times: {bought}, {:.1} s", began.elapsed().as_secs_f32());
    assert!(bought.cut > 0, "killed in the middle of it: {bought:?}");
    assert!(bought.refused > 0, "somebody is poor");
    let (said, status) = cluster.command(&["credits", "audit"]);
    assert!(status.success() && said.contains(" 0 of them held"), "{said}");
    cluster.end().await;
}
