//! Fetching a profile through the front door.

use tests::System;

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_ends_in_a_stored_profile() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let answer = dana
        .with("prefer", "wait=20")
        .post("/api/v1/instagram/profile/demo_travel/refresh")
        .await
        .expect(200);
    assert_eq!(answer.json["state"], "succeeded");
    let profile = dana.get("/api/profile/demo_travel").await.expect(200);
    assert_eq!(profile.json["posts"].as_array().unwrap().len(), 12);
    system.end().await;
}
