//! The `corpex` program: see `corpex --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    corpex::cli::run(corpex::cli::Cli::read())
}
