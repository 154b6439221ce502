//! What commands say: on standard output, in one piece.

use std::io::{ErrorKind, IsTerminal, Write};

use jobs::process::Failure;

use super::text;

/// Prints the answer of a command, and a line's end.
pub(crate) fn print(answer: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if out.is_terminal() {
        // Names and messages come from outside; programs get them as they are.
        return write(&mut out, &text::tame(answer));
    }
    write(&mut out, answer)
}

/// Who has read enough (`| head`) has closed the pipe, and that is no failure.
fn write(to: &mut impl Write, text: &str) -> Result<(), Failure> {
    match writeln!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the answer could not be printed: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_who_has_left_is_no_failure() {
        struct Gone(ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert!(write(&mut Gone(ErrorKind::BrokenPipe), "prune").is_ok());
        assert!(write(&mut Gone(ErrorKind::StorageFull), "prune").is_err());
    }
}
