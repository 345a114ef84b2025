//! `tacitly complete`: completions for the shell.

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;
use super::output::print;

/// Print completions for a shell; `tacitly complete bash > /etc/bash_completion.d/tacitly`.
#[derive(Args)]
pub(crate) struct Complete {
    shell: Shell,
}

impl Complete {
    /// Prints how the words of `command` are completed.
    pub(crate) fn run(self, command: &mut Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "tacitly", &mut script);
        print(&script)
    }
}
