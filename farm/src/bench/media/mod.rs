//! `farm bench media`: what a picture costs, from its bytes to both thumbnails, beside sharp and
//! Pillow on the same files; how true they are; and how many pictures a second whole jobs bring to
//! the CDN.

mod decoder;
mod jobs_of_pictures;
mod scene;

use std::path::PathBuf;

use clap::Args;
use jobs::process::Failure;
use worker::media::codecs::Codecs;

use self::decoder::Decoder;
use super::figure::{Report, Spread};
use super::peers::media::{MediaPeers, SIZES, Told};
use super::{Common, host, say};
use crate::config::Settings;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) common: Common,
    /// Files beside the two scenes that are drawn for it: each is measured by its name.
    #[arg(long, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Pictures of one measurement.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    images: u32,
    /// Profiles of the whole-job figure, 13 pictures each; 0 leaves it out.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    profiles: u32,
}

/// A file and what was measured on it.
struct Subject {
    /// In the keys of the JSON.
    name: String,
    bytes: Vec<u8>,
    file: PathBuf,
    ours: Spread,
    sharp: Spread,
    pillow: Spread,
    to_sharp: Spread,
    to_pillow: Spread,
    peak: Spread,
    told: Option<Told>,
}

pub(super) async fn run(settings: &Settings, options: &Options) -> Result<Report, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::during("a folder"))?;
    let program = Codecs::beside_us()
        .ok_or_else(|| Failure::new("the program codec is not beside this one; make build"))?;
    let mut subjects = vec![];
    for (name, width, height) in [("1080", 1_080, 1_080), ("4000", 4_000, 3_000)] {
        let drawn = tokio::task::spawn_blocking(move || scene::jpeg(width, height)).await;
        let bytes = drawn.map_err(Failure::during("the scene"))??;
        let file = folder.path().join(format!("{name}.jpg"));
        std::fs::write(&file, &bytes).map_err(Failure::during("the scene"))?;
        subjects.push(Subject::new(name.to_owned(), bytes, file));
    }
    for file in &options.files {
        let failed = Failure::during(format!("{} cannot be read", file.display()));
        let bytes = std::fs::read(file).map_err(failed)?;
        let name = file.file_stem().map_or("file".into(), |name| name.to_string_lossy());
        let file = std::path::absolute(file).map_err(Failure::during("a path"))?;
        subjects.push(Subject::new(name.into_owned(), bytes, file));
    }
    let wanted = options.common.peers;
    let peers = if wanted { Some(MediaPeers::install().await?) } else { None };
    for number in 1..=options.common.rounds {
        say(&format!("round {number} of {}", options.common.rounds));
        for subject in &mut subjects {
            subject.round(&program, options.images, peers.as_ref()).await?;
        }
    }
    let mut report = Report::new("farm bench media", host::describe());
    for subject in subjects {
        subject.report(&mut report);
    }
    if options.profiles > 0 {
        say("whole jobs");
        let done = jobs_of_pictures::measure(settings, folder.path(), options.profiles).await?;
        report.figure(
            "jobs.per_s",
            "image_ingest jobs",
            "/s",
            done.jobs.into(),
            "13 pictures each",
        );
        let note = "drawn, served, decoded, stored and read back on this machine";
        report.figure(
            "jobs.images_per_s",
            "pictures of whole jobs",
            "/s",
            done.images.into(),
            note,
        );
    }
    Ok(report)
}

impl Subject {
    fn new(name: String, bytes: Vec<u8>, file: PathBuf) -> Self {
        let none = Spread::default;
        Self {
            name,
            bytes,
            file,
            ours: none(),
            sharp: none(),
            pillow: none(),
            to_sharp: none(),
            to_pillow: none(),
            peak: none(),
            told: None,
        }
    }

    async fn round(
        &mut self,
        program: &std::path::Path,
        images: u32,
        peers: Option<&MediaPeers>,
    ) -> Result<(), Failure> {
        let (program, bytes) = (program.to_owned(), self.bytes.clone());
        let measured = tokio::task::spawn_blocking(move || {
            let mut decoder = Decoder::start(&program)?;
            decoder.measure(&bytes, images)
        });
        let measured = measured.await.map_err(Failure::during("the decoder"))??;
        self.ours.add(measured.cpu_ms);
        self.peak.add(measured.peak_mib);
        let Some(peers) = peers else { return Ok(()) };
        let sharp = peers.sharp(&self.file, images).await?;
        let pillow = peers.pillow(&self.file, images).await?;
        self.sharp.add(sharp);
        self.pillow.add(pillow);
        self.to_sharp.add(measured.cpu_ms / sharp);
        self.to_pillow.add(measured.cpu_ms / pillow);
        if self.told.is_none() {
            self.told = Some(peers.compare(&self.file, &measured.thumbnails).await?);
        }
        Ok(())
    }

    fn report(self, report: &mut Report) {
        let (name, per_s) = (&self.name, Spread::from(1_000.0 / self.ours.median()));
        let what = |words: &str| format!("{name}: {words}");
        let mut line = |key: &str, words: &str, unit, spread: Spread, note: &str| {
            if spread.median().is_finite() {
                report.figure(&format!("{key}.{name}"), &what(words), unit, spread, note);
            }
        };
        // As the JSON has it: cpu_ms.1080.ours.
        let bar = if name == "4000" { "at most 1.0" } else { "at most 0.8" };
        line("images_per_s", "on one core", "/s", per_s, "256 and 512 of one decode");
        line("peak_mib", "peak of the decoder", "MiB", self.peak, "under 40, resident");
        line("ratio_to_sharp", "codec / sharp", "", self.to_sharp, bar);
        line("ratio_to_pillow", "codec / Pillow", "", self.to_pillow, "");
        for (who, words, spread) in [
            ("ours", "CPU, codec", self.ours),
            ("sharp", "CPU, sharp", self.sharp),
            ("pillow", "CPU, Pillow", self.pillow),
        ] {
            if spread.median().is_finite() {
                let key = format!("cpu_ms.{name}.{who}");
                report.figure(&key, &what(words), "ms", spread, "a picture");
            }
        }
        let Some(told) = self.told else { return };
        for (at, size) in SIZES.iter().enumerate() {
            let scores = [
                ("ours", "codec", told.ours[at]),
                ("sharp", "sharp", told.sharp[at]),
                ("pillow", "Pillow", told.pillow[at]),
            ];
            for (who, words, score) in scores {
                let key = format!("ssim.{name}.{size}.{who}");
                let words = what(&format!("SSIM at {size}, {words}"));
                report.figure(&key, &words, "", score.into(), "of luma, to an exact reduction");
            }
        }
    }
}
