//! The program, as a worker runs it.

use std::fs;
use std::io::{BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use codec::Thumbnails;
use codec::wire::{self, Refusal};

/// A running program.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codec"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// What comes of an image; the program must go on.
    pub fn ask(&mut self, image: &[u8]) -> Result<Thumbnails, Refusal> {
        wire::write_request(self.input(), image).unwrap();
        wire::read_answer(&mut self.output).unwrap()
    }

    pub fn input(&mut self) -> &mut ChildStdin {
        self.input.as_mut().unwrap()
    }

    /// The most memory it held so far, in bytes; 0 where the system does not tell.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// CPU seconds it used so far; 0 where the system does not tell.
    pub fn seconds(&self) -> f64 {
        let spent = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()));
        let spent = spent.unwrap_or_default();
        let nanoseconds = spent.split(' ').next().and_then(|spent| spent.parse::<f64>().ok());
        nanoseconds.unwrap_or(0.0) / 1e9
    }

    /// Ends its input; how it ended, and all it said on the side.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.input.take());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

/// So that a failed test leaves no program behind.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
