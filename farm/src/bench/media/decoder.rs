//! The program `codec` as a worker runs it, and what it costs.

use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use codec::wire;
use jobs::process::Failure;

use crate::bench::host;

/// Pictures before the first that counts.
const WARM: u32 = 3;

pub(super) struct Decoder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What pictures cost.
pub(super) struct Measured {
    /// Of the processor, for one.
    pub(super) cpu_ms: f64,
    /// Resident, at most.
    pub(super) peak_mib: f64,
    /// Of the last one.
    pub(super) thumbnails: Vec<Vec<u8>>,
}

impl Decoder {
    pub(super) fn start(program: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::during("codec did not start"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(Failure::new("codec has no input or output"));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Blocks until as many pictures are done.
    pub(super) fn measure(&mut self, picture: &[u8], images: u32) -> Result<Measured, Failure> {
        let mut thumbnails = vec![];
        for _ in 0..WARM {
            thumbnails = self.ask(picture)?;
        }
        let before = host::cpu_alone(self.child.id())?;
        for _ in 0..images {
            thumbnails = self.ask(picture)?;
        }
        let used = host::cpu_alone(self.child.id())?.saturating_sub(before);
        let (_, peak_mib) = host::memory(self.child.id())?;
        let cpu_ms = used.as_secs_f64() * 1_000.0 / f64::from(images);
        Ok(Measured { cpu_ms, peak_mib, thumbnails })
    }

    fn ask(&mut self, picture: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let asked = wire::write_request(&mut self.input, picture).and_then(|()| self.input.flush());
        asked.map_err(Failure::during("codec does not listen"))?;
        let answer = wire::read_answer(&mut self.output).map_err(Failure::during("codec"))?;
        let made = answer.map_err(|refusal| Failure::new(refusal.message))?;
        Ok(made.images.into_iter().map(|image| image.webp).collect())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
