//! The `corpex` program: see `corpex --help`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    corpex::cli::run(corpex::cli::Cli::parse())
}
