//! Recorded answers: files of a folder, served as they are.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::answers::{Question, Reply, Target, unstable};

/// A folder of recorded answers: `<handle>.json`, `errors/http<status>_<name>.json` for the handle
/// `error_<name>`, and `other_targets/<handle>_instagram_profile.json`.
#[derive(Debug, Clone)]
pub struct Recordings(PathBuf);

impl Recordings {
    /// The recordings in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// What was recorded for this question; `None` when nothing was. The handle is valid, so it
    /// holds no separator and cannot leave the folder.
    pub async fn answer(&self, question: &Question<'_>) -> Option<Reply> {
        if let Some(name) = question.handle.strip_prefix("error_")
            && let Some(reply) = self.error(name).await
        {
            return Some(reply);
        }
        let main = self.0.join(format!("{}.json", question.handle));
        let other = self
            .0
            .join("other_targets")
            .join(format!("{}_instagram_profile.json", question.handle));
        let (wanted, unwanted) = match question.target {
            Target::Profile => (main, other),
            Target::LastResort => (other, main),
        };
        match read(&wanted).await {
            Some(body) if question.target == Target::LastResort => Some(wrapped(question, body)),
            Some(body) => Some(Reply::Whole { status: 200, headers: Vec::new(), body }),
            // Somebody real, recorded for the other target only: nothing may be invented here.
            None if tokio::fs::try_exists(&unwanted).await.unwrap_or(false) => Some(unstable()),
            None => None,
        }
    }

    async fn error(&self, name: &str) -> Option<Reply> {
        let mut entries = tokio::fs::read_dir(self.0.join("errors")).await.ok()?;
        while let Ok(Some(entry)) = entries.next_entry().await {
            let file = entry.file_name();
            if let Some(status) = file.to_str().and_then(|file| status_of(file, name)) {
                let body = read(&entry.path()).await?;
                return Some(Reply::Whole { status, headers: Vec::new(), body });
            }
        }
        None
    }
}

/// The status in `http<status>_<name>.json`, if that is the name.
fn status_of(file: &str, name: &str) -> Option<u16> {
    let (status, rest) = file.strip_prefix("http")?.split_once('_')?;
    let status = status.parse().ok().filter(|status| (200..600).contains(status))?;
    (rest.strip_suffix(".json")? == name).then_some(status)
}

/// A recorded vendor object in the envelope it was printed without.
fn wrapped(question: &Question<'_>, body: Vec<u8>) -> Reply {
    match serde_json::from_slice::<Value>(&body) {
        Ok(content) if content.get("results").is_none() => {
            let result = json!({
                "content": content,
                "status_code": 200,
                "query": question.handle,
                "task_id": question.task_id(),
            });
            Reply::json(200, &json!({ "results": [result] }))
        }
        _ => Reply::Whole { status: 200, headers: Vec::new(), body },
    }
}

async fn read(path: &Path) -> Option<Vec<u8>> {
    match tokio::fs::read(path).await {
        Ok(body) => Some(body),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "recorded answer not readable");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(handle: &str, target: Target) -> Question<'_> {
        Question { handle, target, base: "http://127.0.0.1:1" }
    }

    fn whole(reply: Option<Reply>) -> (u16, String) {
        match reply {
            Some(Reply::Whole { status, body, .. }) => {
                (status, String::from_utf8(body).expect("text"))
            }
            other => panic!("not a whole body: {other:?}"),
        }
    }

    #[test]
    fn error_files_name_their_status() {
        assert_eq!(status_of("http429_rate_limit.json", "rate_limit"), Some(429));
        assert_eq!(status_of("http200_task_failed_613.json", "task_failed_613"), Some(200));
        assert_eq!(status_of("http99_x.json", "x"), None);
        assert_eq!(status_of("http429_rate_limit.json", "limit"), None);
        assert_eq!(status_of("notes.md", "notes"), None);
    }

    #[tokio::test]
    async fn files_are_served_by_handle_and_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        write("ada.json", "{ \"results\" : [1] }");
        write("errors/http429_rate_limit.json", "\"slow down\"");
        write("other_targets/bo_instagram_profile.json", "{\"data\":{\"content\":{}}}");
        let recordings = Recordings::new(folder.path().to_owned());

        let main = recordings.answer(&ask("ada", Target::Profile)).await;
        assert_eq!(whole(main), (200, "{ \"results\" : [1] }".to_owned()));
        assert_eq!(whole(recordings.answer(&ask("ada", Target::LastResort)).await).0, 500);
        let error = recordings.answer(&ask("error_rate_limit", Target::Profile)).await;
        assert_eq!(whole(error), (429, "\"slow down\"".to_owned()));

        assert_eq!(whole(recordings.answer(&ask("bo", Target::Profile)).await).0, 500);
        let (_, body) = whole(recordings.answer(&ask("bo", Target::LastResort)).await);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert!(body["results"][0]["content"]["data"]["content"].is_object());
        assert_eq!(body["results"][0]["query"], "bo");

        for handle in ["carl", "error_nothing"] {
            assert!(recordings.answer(&ask(handle, Target::Profile)).await.is_none());
        }
    }
}
