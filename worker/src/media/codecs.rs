//! Decoders as processes: each takes one picture at a time through its standard input. One that
//! crashes, or is stopped by a limit, takes nothing along and is replaced.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use codec::wire::{self, Answer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

/// Name of the program.
const PROGRAM: &str = "codec";
/// Longest time for a picture; its own limit, in time of the processor, is far below.
const WHOLE: Duration = Duration::from_secs(20);
/// The signal of a process that used up its time of the processor.
const SIGXCPU: i32 = 24;

/// Why a picture was not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecFault {
    /// The program said what is wrong with the picture.
    #[error("{message}")]
    Picture {
        /// Its word.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// The decoder took longer than any picture may.
    #[error("decoding the picture takes too long")]
    TooSlow,
    /// The decoder crashed on it, twice.
    #[error("the decoder crashes on the picture ({0})")]
    Crashed(String),
    /// There is no decoder.
    #[error("the program {PROGRAM} cannot be started: {0}")]
    NoProgram(String),
}

impl CodecFault {
    /// A word for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Picture { code, .. } => code,
            Self::TooSlow => "image_too_slow",
            Self::Crashed(_) => "decoder_crashed",
            Self::NoProgram(_) => "no_decoder",
        }
    }
}

/// A picture's thumbnails.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// What was said of the source and of each thumbnail.
    pub source: wire::Described,
    /// The thumbnails, in that order.
    pub images: Vec<Vec<u8>>,
}

/// As many decoders as may work at once, started when they are needed.
#[derive(Debug)]
pub struct Codecs {
    program: PathBuf,
    slots: Semaphore,
    idle: Mutex<Vec<Decoder>>,
}

impl Codecs {
    /// Decoders of this program, at most `slots` at once.
    pub fn new(program: PathBuf, slots: usize) -> Self {
        Self { program, slots: Semaphore::new(slots.max(1)), idle: Mutex::default() }
    }

    /// The program beside the one that runs.
    pub fn beside_us() -> Option<PathBuf> {
        let program = std::env::current_exe().ok()?.with_file_name(PROGRAM);
        program.is_file().then_some(program)
    }

    /// The thumbnails of a picture.
    ///
    /// # Errors
    /// [`CodecFault`]; only [`CodecFault::NoProgram`] is not the picture's fault.
    pub async fn thumbnails(&self, picture: &[u8]) -> Result<Decoded, CodecFault> {
        let mut crash = String::new();
        // What a process has that crashed may be its own fault; a fresh one decides.
        for fresh in [false, true] {
            let Ok(_slot) = self.slots.acquire().await else {
                return Err(CodecFault::NoProgram("the worker stops".to_owned()));
            };
            let mut decoder = self.decoder(fresh)?;
            match tokio::time::timeout(WHOLE, decoder.ask(picture)).await {
                Ok(Ok(answer)) => {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
                    return answer;
                }
                Ok(Err(error)) => match decoder.end().await {
                    Some(status) if signal(status) == Some(SIGXCPU) => {
                        return Err(CodecFault::TooSlow);
                    }
                    Some(status) => crash = status.to_string(),
                    None => crash = error.to_string(),
                },
                // Dropped, it is killed.
                Err(_) => return Err(CodecFault::TooSlow),
            }
        }
        Err(CodecFault::Crashed(crash))
    }

    fn decoder(&self, fresh: bool) -> Result<Decoder, CodecFault> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match if fresh { None } else { idle() } {
            Some(decoder) => Ok(decoder),
            None => Decoder::start(&self.program),
        }
    }
}

fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// One process.
#[derive(Debug)]
struct Decoder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Decoder {
    fn start(program: &Path) -> Result<Self, CodecFault> {
        let mut command = Command::new(program);
        // It needs nothing of what we know, secrets least of all.
        command.env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own: Ctrl-C at the terminal is for us.
        command.process_group(0);
        let none = |why: String| CodecFault::NoProgram(format!("{}: {why}", program.display()));
        let mut child = command.spawn().map_err(|error| none(error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(none("it has no input or output".to_owned()));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Sends a picture and reads what comes of it.
    ///
    /// # Errors
    /// When the process is gone, or says what it should not.
    async fn ask(&mut self, picture: &[u8]) -> std::io::Result<Result<Decoded, CodecFault>> {
        let length = u32::try_from(picture.len()).map_err(std::io::Error::other)?;
        self.input.write_all(&length.to_le_bytes()).await?;
        self.input.write_all(picture).await?;
        self.input.flush().await?;
        let mut line = vec![];
        let mut answer = (&mut self.output).take(wire::MAX_LINE as u64);
        answer.read_until(b'\n', &mut line).await?;
        let source = match serde_json::from_slice(&line).map_err(std::io::Error::other)? {
            Answer::Ok(source) => source,
            Answer::Error(error) => {
                return Ok(Err(CodecFault::Picture { code: error.code, message: error.message }));
            }
        };
        let mut images = vec![];
        for image in &source.images {
            let mut bytes = vec![0; image.bytes.min(wire::MAX_ANSWER)];
            self.output.read_exact(&mut bytes).await?;
            images.push(bytes);
        }
        Ok(Ok(Decoded { source, images }))
    }

    /// How it ended; `None` when it has not.
    async fn end(mut self) -> Option<ExitStatus> {
        drop(self.input);
        tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that stands in for the decoder.
    fn stand_in(script: &str) -> (tempfile::TempDir, Codecs) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PROGRAM);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (dir, Codecs::new(path, 1))
    }

    #[tokio::test]
    async fn a_crash_is_the_pictures_fault_only_when_a_fresh_decoder_crashes_too() {
        let (dir, codecs) = stand_in("echo . >> $(dirname $0)/starts; kill -SEGV $$");
        let fault = codecs.thumbnails(b"picture").await.unwrap_err();
        assert!(
            matches!(&fault, CodecFault::Crashed(why) if why.contains("signal: 11")),
            "{fault}"
        );
        let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
        assert_eq!(starts.lines().count(), 2);
    }

    #[tokio::test]
    async fn one_that_used_up_its_time_is_not_asked_again() {
        let (dir, codecs) = stand_in("echo . >> $(dirname $0)/starts; kill -XCPU $$");
        assert_eq!(codecs.thumbnails(b"picture").await.unwrap_err(), CodecFault::TooSlow);
        let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
        assert_eq!(starts.lines().count(), 1);
    }

    #[tokio::test]
    async fn what_is_said_of_a_picture_is_passed_on_and_the_decoder_stays() {
        let refusal = r#"{"error":{"code":"not_an_image","message":"no"}}"#;
        let (dir, codecs) = stand_in(&format!(
            "echo . >> $(dirname $0)/starts; while head -c 11 >/dev/null; do echo '{refusal}'; done"
        ));
        for _ in 0..3 {
            assert_eq!(codecs.thumbnails(b"picture").await.unwrap_err().code(), "not_an_image");
        }
        let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
        assert_eq!(starts.lines().count(), 1);
    }

    #[tokio::test]
    async fn without_a_program_the_picture_is_not_to_blame() {
        let codecs = Codecs::new("/nowhere/codec".into(), 1);
        let fault = codecs.thumbnails(b"picture").await.unwrap_err();
        assert!(matches!(fault, CodecFault::NoProgram(_)), "{fault}");
    }
}
