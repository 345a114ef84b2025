//! `tacitly complete`: completions for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print completions for a shell; `tacitly complete bash > /etc/bash_completion.d/tacitly`.
#[derive(Args)]
pub(crate) struct Complete {
    shell: Shell,
}

impl Complete {
    pub(crate) fn run(self) {
        clap_complete::generate(self.shell, &mut super::Cli::command(), "tacitly", &mut std::io::stdout());
    }
}
