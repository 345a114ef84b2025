//! The command line: one file per subcommand, each a few lines around the daemon's control API.

mod ask;
mod backup;
mod bench;
mod bench_log;
mod bench_serve;
mod bench_session;
mod complete;
mod config;
mod connect;
mod consortium;
mod dataset;
mod demo;
mod destination;
mod doctor;
mod evidence;
mod failure;
mod figures;
mod identity;
mod init;
mod job;
mod job_result;
mod job_words;
mod kinds;
mod log;
mod opening;
mod output;
mod pages;
mod peer;
mod psi;
mod replay;
mod run;
mod serve;
mod submit;
mod token;
mod watch;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::codes;
use failure::Failure;
use output::Output;
use run::block_on;

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Institutions compute on each other's data without showing it.
///
/// A party is a folder made by `tacitly init` and a daemon started by `tacitly serve`; every other command talks to
/// that daemon. `tacitly demo` shows two parties at work in under a minute.
#[derive(Parser)]
#[command(name = "tacitly", version, propagate_version = true)]
pub struct Cli {
    /// The party's folder; absent: TACITLY_HOME, or this folder.
    #[arg(long, global = true, value_name = "FOLDER", help_heading = EVERYWHERE)]
    home: Option<PathBuf>,
    /// Print JSON instead of words.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// A daemon's control port, instead of the control socket in the party's folder; needs --token-file. Absent, and without
    /// --home: TACITLY_CONNECT.
    #[arg(long, global = true, value_name = "IP:PORT", value_parser = connect::address, help_heading = EVERYWHERE)]
    connect: Option<std::net::SocketAddr>,
    /// A private file with the token for --connect; absent: TACITLY_TOKEN_FILE.
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Serve(serve::Serve),
    Status(serve::Status),
    Health(serve::Health),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Identity(identity::Identity),
    #[command(subcommand)]
    Token(token::Token),
    Backup(backup::Backup),
    Restore(backup::Restore),
    #[command(subcommand)]
    Peer(peer::Peer),
    #[command(subcommand)]
    Consortium(consortium::Consortium),
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    Psi(psi::Psi),
    #[command(subcommand)]
    Job(job::Job),
    Ask(ask::Ask),
    Approve(job::Approve),
    Refuse(job::Refuse),
    Events(job::Events),
    Evidence(evidence::Evidence),
    #[command(subcommand)]
    Log(log::LogCommand),
    Witness(witness::Witness),
    Demo(demo::Demo),
    #[command(subcommand)]
    Bench(bench::Bench),
    Complete(complete::Complete),
}

impl Cli {
    /// Runs the command and turns its ending into an exit code: 0 done, 1 failed, 128 and the signal's number if a signal
    /// or a reader that is gone ended it. Wrong usage exits with 2 before.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let output = Output::new(self.json);
        match self.dispatch(output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                output.fail(&failure);
                failure.exit_code()
            }
        }
    }

    /// Says what is wrong with the words of a command line, as JSON if that is asked for in them, or prints the help that
    /// they ask for. Exits with 2 if they are wrong.
    #[must_use]
    pub fn misused(error: &clap::Error) -> ExitCode {
        if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim();
            Output::new(true).fail(&Failure::coded(
                codes::BAD_REQUEST.name,
                text,
                "`tacitly help` shows what there is.",
            ));
        } else {
            let _nobody_reads = error.print();
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    }

    fn dispatch(self, output: Output) -> Result<(), Failure> {
        let way = connect::Way::of(self.home, self.connect, self.token_file, |name| std::env::var_os(name));
        let home = way.home.clone();
        match self.command {
            Command::Init(command) => command.run(home, output),
            Command::Complete(command) => command.run(&mut Self::command()),
            Command::Serve(command) => command.run(&home),
            Command::Demo(command) => block_on(command.run(output)),
            Command::Bench(command) => command.run(output),
            Command::Config(command) => command.run(&home, output),
            Command::Token(command) => command.run(&home, output),
            Command::Log(command) => command.run(&home, &way, output),
            Command::Witness(command) => match block_on(command.run(&home, output)) {
                Err(failure) if failure.was_asked_for() => Ok(()),
                ended => ended,
            },
            Command::Doctor(command) => block_on(command.run(&home, output)),
            Command::Identity(command) => block_on(command.run(&way, output)),
            Command::Backup(command) => block_on(command.run(&way, output)),
            Command::Restore(command) => block_on(command.run(&home, output)),
            Command::Health(command) => block_on(command.run(&way, output)),
            Command::Status(command) => block_on(command.run(&way, output)),
            Command::Peer(command) => block_on(command.run(&way, output)),
            Command::Consortium(command) => block_on(command.run(&way, output)),
            Command::Dataset(command) => block_on(command.run(&way, output)),
            Command::Psi(command) => block_on(command.run(&way, output)),
            Command::Job(command) => block_on(command.run(&way, output)),
            Command::Ask(command) => block_on(command.run(&way, output)),
            Command::Approve(command) => block_on(command.run(&way, output)),
            Command::Refuse(command) => block_on(command.run(&way, output)),
            Command::Events(command) => block_on(command.run(&way, output)),
            Command::Evidence(command) => block_on(command.run(&way, output)),
        }
    }
}
