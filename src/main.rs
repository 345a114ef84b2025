//! The `tacitly` program: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tacitly::cli::Cli::parse().run()
}
