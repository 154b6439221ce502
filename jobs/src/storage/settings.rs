//! Where files lie: `STORAGE_URL` and the keys of a bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::Storage;
use crate::process::{Env, Failure, Secret};

/// Folder of the data dir that holds files when nothing else is said.
const FOLDER: &str = "objects";
/// Longest wait for a bucket's answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where files lie, as told.
#[derive(Clone, Debug)]
pub enum StorageSettings {
    /// A folder; `None` = one in the data dir.
    Folder(Option<PathBuf>),
    /// A bucket that speaks S3.
    Bucket {
        /// Its name.
        bucket: String,
        /// Put before every key; may be empty.
        prefix: String,
        /// `S3_ENDPOINT`; unset = Amazon's.
        endpoint: Option<Url>,
        /// `S3_REGION`; `auto` for R2.
        region: String,
        /// `S3_ACCESS_KEY_ID`.
        key_id: Secret,
        /// `S3_SECRET_ACCESS_KEY`.
        secret: Secret,
    },
}

impl StorageSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    pub fn read(env: &Env) -> Result<Self, Failure> {
        let rule = "a bucket like s3://name or a folder like file:///var/lib/farm";
        let keys = (env.secret("S3_ACCESS_KEY_ID")?, env.secret("S3_SECRET_ACCESS_KEY")?);
        let Some(url) = env.parse::<Url>("STORAGE_URL", rule)? else {
            if keys.0.is_some() || env.text("S3_ENDPOINT").is_some() {
                return Err(Failure::new(
                    "S3_ENDPOINT or S3_ACCESS_KEY_ID is set without STORAGE_URL=s3://bucket",
                ));
            }
            return Ok(Self::Folder(None));
        };
        if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
            return Err(Failure::new(format!("STORAGE_URL must be {rule}, and nothing more")));
        }
        match (url.scheme(), url.host_str()) {
            ("file", None | Some("")) => {
                let path = url.to_file_path();
                let path =
                    path.map_err(|()| Failure::new(format!("STORAGE_URL must be {rule}")))?;
                Ok(Self::Folder(Some(path)))
            }
            ("s3", Some(bucket)) if !bucket.is_empty() => {
                let (Some(key_id), Some(secret)) = keys else {
                    return Err(Failure::new(
                        "STORAGE_URL names a bucket: set S3_ACCESS_KEY_ID and \
                         S3_SECRET_ACCESS_KEY",
                    ));
                };
                Ok(Self::Bucket {
                    bucket: bucket.to_owned(),
                    prefix: url.path().trim_matches('/').to_owned(),
                    endpoint: endpoint(env)?,
                    region: env.text("S3_REGION").unwrap_or("auto").to_owned(),
                    key_id,
                    secret,
                })
            }
            _ => Err(Failure::new(format!("STORAGE_URL must be {rule}"))),
        }
    }

    /// The storage; a folder is made when it is not there.
    ///
    /// # Errors
    /// A sentence.
    pub fn open(&self, data_dir: &Path) -> Result<Storage, Failure> {
        match self {
            Self::Folder(None) => Storage::folder(&data_dir.join(FOLDER)),
            Self::Folder(Some(path)) => Storage::folder(path),
            Self::Bucket { bucket, prefix, endpoint, region, key_id, secret } => {
                let plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
                let client = ClientOptions::new()
                    .with_allow_http(plain)
                    .with_timeout(TIMEOUT)
                    .with_connect_timeout(Duration::from_secs(5));
                // The job that stores something is what is tried again.
                let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(region)
                    .with_access_key_id(key_id.expose())
                    .with_secret_access_key(secret.expose())
                    .with_virtual_hosted_style_request(endpoint.is_none())
                    .with_client_options(client)
                    .with_retry(retry);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
                }
                let store = builder.build().map_err(Failure::during("STORAGE_URL"))?;
                let store: Arc<dyn ObjectStore> = if prefix.is_empty() {
                    Arc::new(store)
                } else {
                    Arc::new(PrefixStore::new(store, prefix.as_str()))
                };
                let shown = format!("s3://{bucket}/{prefix}");
                Ok(Storage { store, keeps_attributes: true, shown: shown.into() })
            }
        }
    }

    /// Whether several machines see the same files.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Bucket { .. })
    }
}

fn endpoint(env: &Env) -> Result<Option<Url>, Failure> {
    let rule = "an address like https://account.r2.cloudflarestorage.com";
    let url: Option<Url> = env.parse("S3_ENDPOINT", rule)?;
    match &url {
        Some(url) if !matches!(url.scheme(), "http" | "https") || url.query().is_some() => {
            Err(Failure::new(format!("S3_ENDPOINT must be {rule}")))
        }
        _ => Ok(url),
    }
}

impl Storage {
    /// Files in a folder, which is made when it is not there.
    ///
    /// # Errors
    /// A sentence.
    pub fn folder(path: &Path) -> Result<Self, Failure> {
        let what = path.display().to_string();
        std::fs::create_dir_all(path).map_err(Failure::during(format!("{what} cannot be made")))?;
        let store = LocalFileSystem::new_with_prefix(path);
        let store = store.map_err(Failure::during(format!("{what} cannot be used")))?;
        let store = store.with_fsync(true);
        Ok(Self { store: Arc::new(store), keeps_attributes: false, shown: what.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<StorageSettings, String> {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Env::of(vars).and_then(|env| StorageSettings::read(&env)).map_err(|failure| failure.0)
    }

    #[test]
    fn a_bucket_needs_its_keys_and_nothing_is_guessed() {
        assert!(matches!(read(&[]).unwrap(), StorageSettings::Folder(None)));
        let file = read(&[("STORAGE_URL", "file:///var/lib/farm")]).unwrap();
        assert!(matches!(file, StorageSettings::Folder(Some(path)) if path.ends_with("farm")));
        let keys = [("S3_ACCESS_KEY_ID", "id"), ("S3_SECRET_ACCESS_KEY", "hush-hush")];
        let bucket = read(&[("STORAGE_URL", "s3://thumbs/prod"), keys[0], keys[1]]).unwrap();
        assert!(!format!("{bucket:?}").contains("hush-hush"));
        let StorageSettings::Bucket { bucket, prefix, region, .. } = bucket else { panic!() };
        assert_eq!((bucket, prefix, region), ("thumbs".into(), "prod".into(), "auto".into()));
        for (vars, words) in [
            (&[("STORAGE_URL", "s3://thumbs")][..], "set S3_ACCESS_KEY_ID"),
            (&[("STORAGE_URL", "ftp://x")], "a bucket like s3://name"),
            (&[("STORAGE_URL", "s3://")], "a bucket like s3://name"),
            (&[("S3_ENDPOINT", "https://x")], "without STORAGE_URL"),
            (
                &[("STORAGE_URL", "s3://b"), keys[0], keys[1], ("S3_ENDPOINT", "x://y")],
                "S3_ENDPOINT must be",
            ),
        ] {
            let refused = read(vars).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
