//! `farm demo-provider`: the demo provider alone.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jobs::process::{Failure, told_to_stop};

use super::out;
use crate::demo::{DemoOptions, DemoProvider};

pub(crate) async fn run(
    host: IpAddr,
    port: u16,
    recorded: Option<PathBuf>,
    latency_ms: u64,
) -> Result<(), Failure> {
    let options = DemoOptions {
        addr: SocketAddr::new(host, port),
        recorded,
        latency: Duration::from_millis(latency_ms),
        ..DemoOptions::default()
    };
    let demo = DemoProvider::start(options)
        .await
        .map_err(Failure::during("the demo provider did not start"))?;
    out::print(&format!(
        "demo provider at {}\npoint DECODO_BASE_URL at it; any user and password will do",
        demo.base_url()
    ))?;
    told_to_stop().await?;
    demo.stop().await;
    Ok(())
}
