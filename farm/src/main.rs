//! `farm`: see [`farm::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    farm::cli::main()
}
