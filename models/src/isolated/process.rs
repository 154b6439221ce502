//! The other process, from here.

use std::io::{self, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Instant;

use super::wire::{self, Said};
use crate::text::Prepared;

/// A running process; killed when it is dropped. Errors say what became of it, after "its process".
pub(super) struct Process {
    child: Child,
    /// To a thread that writes: a process that reads nothing must not hold up whoever asks.
    captions: Sender<Vec<Prepared>>,
    /// From a thread that reads: pipes know no time limits.
    said: Receiver<io::Result<Said>>,
}

impl Process {
    pub(super) fn start(mut command: Command) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (captions, to_write) = mpsc::channel();
        let (saying, said) = mpsc::channel();
        // From here on it is killed, whatever happens.
        let this = Self { child, captions, said };
        let (Some(mut input), Some(output)) = (input, output) else {
            return Err("has no pipes".to_owned());
        };
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let writer = move || {
            while let Ok(captions) = to_write.recv() {
                if wire::write(&mut input, &captions).is_err() {
                    break;
                }
            }
        };
        let reader = move || {
            let mut output = BufReader::new(output);
            while let Some(said) = wire::read(&mut output).transpose() {
                let failed = said.is_err();
                if saying.send(said).is_err() || failed {
                    break;
                }
            }
        };
        named("ai-tells").spawn(writer).map_err(failed)?;
        named("ai-hears").spawn(reader).map_err(failed)?;
        Ok(this)
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Hands over a batch.
    pub(super) fn tell(&mut self, captions: &[Prepared]) -> Result<(), String> {
        self.captions.send(captions.to_vec()).map_err(|_| self.end())
    }

    /// What it says next.
    pub(super) fn said(&mut self, until: Instant) -> Result<Said, String> {
        match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(_)) => Err("said what cannot be read".to_owned()),
            Err(RecvTimeoutError::Timeout) => Err("took too long and was killed".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err(self.end()),
        }
    }

    /// How it ended. It closed its output, so it has, or is made to.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let status = self.child.wait();
        status.map_or_else(|error| error.to_string(), |status| format!("ended: {status}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
