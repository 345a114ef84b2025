//! The `tacitly` program: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use tacitly::cli::Cli;

fn main() -> ExitCode {
    Cli::try_parse().map_or_else(|error| Cli::misused(&error), Cli::run)
}
