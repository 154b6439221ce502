//! A bucket that speaks S3 and checks signatures, in this process.

use std::net::SocketAddr;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use jobs::Storage;
use jobs::process::Env;
use jobs::storage::StorageSettings;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Name of the bucket.
const NAME: &str = "thumbnails-test";
const KEY_ID: &str = "a-key";
const SECRET: &str = "a-secret-for-tests";

/// The bucket, as long as it is held.
#[derive(Debug)]
pub struct Bucket {
    at: SocketAddr,
    folder: TempDir,
}

impl Bucket {
    /// An empty one.
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join(NAME)).expect("a bucket");
        let mut service =
            S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a file system"));
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            while let Ok((socket, _)) = listener.accept().await {
                let served = server.serve_connection(TokioIo::new(socket), service.clone());
                let served = served.into_owned();
                tokio::spawn(async move {
                    // Whoever hangs up is gone.
                    let _ = served.await;
                });
            }
        });
        Self { at, folder }
    }

    /// The settings of a farm that keeps its files there.
    pub fn settings(&self, secret: &str) -> Vec<(String, String)> {
        [
            ("STORAGE_URL", format!("s3://{NAME}")),
            ("S3_ENDPOINT", format!("http://{}", self.at)),
            ("S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("S3_SECRET_ACCESS_KEY", secret.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The bucket as a farm opens it.
    pub fn storage(&self) -> Storage {
        self.storage_with(SECRET)
    }

    /// As one opens it that has another secret.
    pub fn storage_with(&self, secret: &str) -> Storage {
        let env = Env::of(self.settings(secret)).expect("an environment");
        let settings = StorageSettings::read(&env).expect("settings");
        settings.open(Path::new("/nowhere")).expect("a bucket")
    }

    /// Where an object lies on disk.
    pub fn path(&self, key: &str) -> std::path::PathBuf {
        self.folder.path().join(NAME).join(key)
    }
}
