//! `tacitly token`: who may use the control port, and for what.

use std::path::Path;

use clap::{Subcommand, ValueEnum};

use super::output::table;
use super::{Failure, Output};
use crate::daemon::Config;
use crate::rpc::tokens::{self, Role};

/// Tokens for the control port (`[control] listen` in party.toml): create, list, revoke.
#[derive(Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it, this once; only its SHA-256 is kept. Put it into a file of mode 0600 for
    /// --token-file.
    Create {
        /// What it allows.
        #[arg(long, value_enum)]
        role: RoleName,
        /// Whose it is; the audit trail names it.
        name: String,
    },
    /// List tokens: name, role and when they were made.
    List,
    /// Take a token away, from the next call on.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    /// Submits and cancels jobs, keeps datasets and peers.
    Operator,
    /// Approves and refuses jobs, sets rules, joins and leaves consortia.
    Approver,
    /// Reads.
    Auditor,
}

impl Token {
    pub(crate) fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let config = Config::load(home).map_err(Failure::plain)?;
        let file = home.join(&config.control.tokens);
        match self {
            Self::Create { role, name } => {
                let role = match role {
                    RoleName::Operator => Role::Operator,
                    RoleName::Approver => Role::Approver,
                    RoleName::Auditor => Role::Auditor,
                };
                let token = tokens::create(&file, &name, role).map_err(Failure::plain)?;
                output.say(
                    || serde_json::json!({ "name": name, "role": role, "token": token.as_str() }),
                    || token.as_str().to_owned(),
                )?;
            }
            Self::List => {
                let tokens = tokens::list(&file).map_err(Failure::plain)?;
                let rows = || {
                    let mut rows = vec![["NAME", "ROLE", "CREATED"].map(str::to_owned).to_vec()];
                    let row = |token: &tokens::Token| {
                        vec![token.name.clone(), token.role.name().to_owned(), token.created.clone()]
                    };
                    rows.extend(tokens.iter().map(row));
                    table(&rows)
                };
                output.say(|| &tokens, rows)?;
            }
            Self::Revoke { name } => {
                tokens::revoke(&file, &name).map_err(Failure::plain)?;
                output.say(|| serde_json::json!({ "revoked": name }), || format!("the token {name} is void"))?;
            }
        }
        Ok(())
    }
}
