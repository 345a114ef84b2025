//! `tacitly complete`: completions for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Failure;
use super::output::print;

/// Print completions for a shell; `tacitly complete bash > /etc/bash_completion.d/tacitly`.
#[derive(Args)]
pub(crate) struct Complete {
    shell: Shell,
}

impl Complete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "tacitly", &mut script);
        print(&script)
    }
}
