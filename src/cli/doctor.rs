//! `tacitly doctor`: everything that can be checked, each with its hint.

use std::path::Path;

use clap::Args;
use tacitly_core::PartyId;

use super::{Failure, Output, connect};
use crate::daemon::doctor::{Finding, Level, check_config, check_world};
use crate::daemon::{Attestation, home, lost_socket};
use crate::rpc::control;

/// How far a peer's clock may be from ours before both are doubted.
const CLOCK_SLACK_SECONDS: u64 = 60;

/// Check configuration, files, certificate, clock, disk, the daemon and the links with peers, and say how to mend what
/// is wrong. Works with and without a running daemon; exits with 1 if anything fails.
#[derive(Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let (config, mut findings) = check_config(home).await;
        if let Some(config) = config {
            let socket = home.join(&config.control.socket);
            let status = match connect::connect_socket(socket.clone()).await {
                Ok(mut daemon) => Some(daemon.status(control::StatusRequest {}).await.map(tonic::Response::into_inner)),
                Err(_) => None,
            };
            let lost_socket = status.is_none().then(|| lost_socket(home, &config)).flatten();
            findings.extend(check_world(home, &config, status.is_some() || lost_socket.is_some()));
            match status {
                None if let Some((text, hint)) = lost_socket => findings.push(Finding::fail("daemon", text, hint)),
                None => findings.push(Finding::warn(
                    "daemon",
                    format!("none answers at {}; links were not checked", socket.display()),
                    format!("start it with `tacitly serve --home {}`", home.display()),
                )),
                Some(Err(status)) => {
                    let text = format!("it answers at {} with: {}", socket.display(), status.message());
                    findings.push(Finding::fail("daemon", text, "read its log; restart it if it does not recover"));
                }
                Some(Ok(status)) => {
                    findings.extend(swapped_certificate(home, &status));
                    findings.extend(of_daemon(&status));
                    findings.extend(of_witnesses(&config.attestation, &status));
                }
            }
        }
        report(&findings, output)
    }
}

/// The certificate in the folder is what a restart would use.
fn swapped_certificate(home: &Path, status: &control::StatusReply) -> Option<Finding> {
    let pin = home::identity(home).ok()?.pin().to_string();
    (pin != status.pin).then(|| {
        let text = format!("the one in {} is not the one the daemon uses", home.display());
        let hint = "put the files back, or let `tacitly identity rotate` change them: peers refuse a key they were not \
                    told of";
        Finding::warn("certificate", text, hint)
    })
}

/// What `[attestation]` asks of parties that are not there.
fn of_witnesses(asked: &Attestation, status: &control::StatusReply) -> Vec<Finding> {
    let is_peer = |name: &&PartyId| status.peers.iter().any(|peer| peer.party == name.as_str());
    let mut findings = Vec::new();
    let (peers, outside) = (status.peers.len(), asked.witness.len());
    if asked.quorum > peers + outside {
        let text = format!(
            "attestation.quorum asks {} parties to cosign our log, and there are {peers} peer{} and {outside} outside \
             witness{}",
            asked.quorum,
            if peers == 1 { "" } else { "s" },
            if outside == 1 { "" } else { "es" },
        );
        findings.push(Finding::warn("witnesses", text, "lower the quorum, or add peers or an [[attestation.witness]]"));
    }
    for (key, names) in [("mirrors", &asked.mirrors), ("mirror_of", &asked.mirror_of)] {
        findings.extend(names.iter().filter(|name| !is_peer(name)).map(|name| {
            let text = format!("attestation.{key} names {name}, which is no peer here");
            Finding::warn("mirrors", text, "mend the name, or invite that party")
        }));
    }
    findings
}

fn of_daemon(status: &control::StatusReply) -> Vec<Finding> {
    let ours = env!("CARGO_PKG_VERSION");
    let mut findings = vec![if status.version == ours {
        Finding::ok("daemon", format!("{} {ours} answers, {}", status.party, at_work(status.running_jobs)))
    } else {
        let text = format!("the daemon is {}, this command is {ours}", status.version);
        Finding::warn("daemon", text, "restart the daemon with the program that is installed now")
    }];
    findings.extend(status.warnings.iter().map(|warning| Finding::warn("daemon", warning.clone(), "")));
    if status.peers.is_empty() {
        findings.push(Finding::warn(
            "link",
            "no peer is pinned",
            "`tacitly peer invite NAME` here, `tacitly peer join` there",
        ));
    }
    let astray = |peer: &&control::Peer| peer.clock_ahead_seconds.unsigned_abs() > CLOCK_SLACK_SECONDS;
    findings.extend(status.peers.iter().filter(astray).map(|peer| {
        let seconds = peer.clock_ahead_seconds;
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        let text = format!("{}: its clock is {} s {side} ours", peer.party, seconds.unsigned_abs());
        Finding::warn("clock", text, "set both clocks, for example with chrony; certificates and rules go by them")
    }));
    findings.extend(status.peers.iter().map(|peer| {
        if peer.link_up {
            return Finding::ok("link", format!("{}: up", peer.party));
        }
        let place = if peer.address.is_empty() { "it dials us" } else { peer.address.as_str() };
        let hint = format!("follow the reason; else check the daemon of {} and the way between ({place})", peer.party);
        Finding::fail("link", format!("{}: {}", peer.party, peer.link_detail), hint)
    }));
    findings
}

fn at_work(jobs: u32) -> String {
    if jobs == 1 { "1 job at work".to_owned() } else { format!("{jobs} jobs at work") }
}

/// Prints findings, and fails if any of them does.
pub(crate) fn report(findings: &[Finding], output: Output) -> Result<(), Failure> {
    let lines = || {
        let line = |finding: &Finding| {
            let level = match finding.level {
                Level::Ok => "ok  ",
                Level::Warn => "warn",
                Level::Fail => "fail",
            };
            let hint = if finding.hint.is_empty() { String::new() } else { format!("\n      hint: {}", finding.hint) };
            format!("{level}  {}: {}{hint}", finding.what, finding.text)
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    output.say(|| findings, lines)?;
    let failed = findings.iter().filter(|finding| finding.level == Level::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::plain("1 check failed")),
        _ => Err(Failure::plain(format!("{failed} checks failed"))),
    }
}
