//! `tacitly config`: what is wrong with `party.toml` and the files it names, and what is in force.

use std::path::Path;

use clap::Subcommand;

use super::doctor::report;
use super::run::block_on;
use super::{Failure, Output};
use crate::daemon::{Config, doctor};

/// The configuration: check it, or print what is in force.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check party.toml with the environment over it, and the keys, certificate and store it names.
    Check,
    /// Print what is in force as TOML: party.toml, the environment over it, and every default. It holds no secret.
    Print,
}

impl ConfigCommand {
    pub(crate) fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        match self {
            Self::Check => block_on(async { report(&doctor::check_config(home).await.1, output) }),
            Self::Print => {
                let config = Config::read(home).map_err(Failure::plain)?;
                let toml = config.to_toml().map_err(Failure::plain)?;
                output.say(|| &config, || toml.trim_end().to_owned())?;
                Ok(())
            }
        }
    }
}
