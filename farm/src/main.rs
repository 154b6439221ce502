//! `farm`: see [`farm::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(end) = models::isolated::child::main() {
        return end;
    }
    farm::cli::main()
}
