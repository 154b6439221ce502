//! Models in processes of their own.

use std::path::PathBuf;

use super::*;

/// What is stored of each post: who answered what.
const ANSWERS: &str = "SELECT shortcode || ' ' || ai_tier || ' ' || ai_sentiment || ' ' || \
     ai_sentiment_score || ' ' || ai_language_code || ' ' || ai_language_confidence || ' ' || \
     coalesce(ai_content_category, '-') || ' ' || coalesce(ai_category_confidence, 0) AS answer \
     FROM posts WHERE ai_analyzed_at IS NOT NULL ORDER BY shortcode";

impl Farm {
    /// Its processes of models, by their folders in /proc.
    fn models(&self) -> Vec<PathBuf> {
        let parent = format!("PPid:\t{}\n", self.child.id());
        let ours = |process: &PathBuf| {
            let text = |name| std::fs::read_to_string(process.join(name)).unwrap_or_default();
            text("cmdline").contains("ai-analyzer") && text("status").contains(&parent)
        };
        let all = std::fs::read_dir("/proc").unwrap();
        all.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_of_models_takes_neither_worker_nor_post_along() {
    let (program, models) = (program(), TempDir::new().unwrap());
    small_models::write(models.path());
    let cache = models.path().to_str().unwrap();
    let mut answers = vec![];
    for isolation in ["process", "thread"] {
        let data = TempDir::new().unwrap();
        let env = [
            ("FARM_LEASE_SECONDS", "2"),
            ("AI_TIER", "full"),
            ("AI_MODELS_CACHE_DIR", cache),
            ("AI_BATCH_SIZE", "4"),
            ("AI_MAX_WORKERS", "1"),
            ("AI_ISOLATION", isolation),
        ];
        let farm = Farm::up_with(&program, data.path(), 1, &env);
        let beside = Beside::open(data.path()).await;
        let fetch = ProfileFetch::of("demo_polyglot".parse().unwrap());
        beside.jobs.submit(&fetch, &Options::default()).await.unwrap();
        if isolation == "process" {
            for at_least in [1, 60] {
                beside.until(ANALYSED, at_least).await;
                let killed = farm.models();
                assert!(!killed.is_empty(), "there is one");
                for process in &killed {
                    let id = process.file_name().unwrap().to_str().unwrap();
                    Command::new("kill").args(["-9", id]).status().unwrap();
                }
                assert!(beside.count(ANALYSED).await < 200, "killed in the middle");
            }
        }
        beside.until(SUCCEEDED, 2).await;
        assert_eq!(beside.count("jobs WHERE lost > 0").await, 0, "no worker was lost");
        assert_eq!(beside.count("posts WHERE ai_tier = 'full'").await, 200);
        let rows = sql::rows(beside.jobs.db().read(), ANSWERS, vec![]).await.unwrap();
        let rows = rows.iter().map(|row| row.try_get("", "answer").unwrap());
        answers.push(rows.collect::<Vec<String>>());
        let left = farm.models();
        assert_eq!(left.is_empty(), isolation == "thread");
        farm.kill();
        // Nobody told them; they end with the one who asked them.
        let gone = || async { left.iter().all(|process| !process.exists()).then_some(()) };
        eventually("its processes are gone", gone).await;
    }
    assert_eq!(answers[0].len(), 200);
    assert_eq!(answers[0], answers[1], "the same answers on threads and in processes");
}
