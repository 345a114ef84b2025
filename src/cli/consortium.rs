//! `tacitly consortium`: members that sign with keys which one has not exchanged with each of them.

use std::fs::File;
use std::io::{BufRead, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use tacitly_attestation::entry::Code;
use tacitly_attestation::roster::{RosterFingerprint, SignedRoster};

use super::connect::Way;
use super::destination::Destination;
use super::output::{murmur, table};
use super::{Failure, Output, connect};
use crate::rpc::control;

/// Consortia: init, join, list, leave.
///
/// A consortium's founder signs a roster of its members and their keys. Whoever pins the roster can be in jobs with members
/// that are no peers, and only the party that leads a job has to be a peer of all.
#[derive(Subcommand)]
pub(crate) enum Consortium {
    /// Found a consortium of peers and this party: sign its roster, pin it here and write it to a file for the others. Again
    /// with other members it is the next version.
    Init {
        /// The consortium's name: 1 to 32 of a-z, 0-9, '-', '_' and '.', beginning with a letter.
        #[arg(value_parser = name)]
        name: Code,
        /// A member; it is a peer. Say it once for every member but this party.
        #[arg(long = "member", value_name = "PARTY", required = true)]
        members: Vec<String>,
        /// The file to write; `-` is standard output. Without it, NAME.roster.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace a file that is there already.
        #[arg(long)]
        force: bool,
    },
    /// Pin a roster that a founder has handed over, once its fingerprint was compared with the founder by another way: on
    /// the telephone, or in a meeting. A newer version takes the place of an older one.
    Join {
        /// The file.
        file: PathBuf,
        /// The fingerprint that the founder has read out. Without it, it is shown and asked about.
        #[arg(long, value_name = "F", value_parser = fingerprint)]
        fingerprint: Option<RosterFingerprint>,
    },
    /// List consortia with their members and fingerprints.
    List,
    /// Leave a consortium: keys of members that are no peers, and rules for them, are gone.
    Leave {
        /// The consortium's name.
        name: String,
    },
}

impl Consortium {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        match self {
            Self::Init { name, members, out, force } => {
                let out = out.unwrap_or_else(|| PathBuf::from(format!("{name}.roster")));
                let asked = control::InitConsortiumRequest { name: name.to_string(), members };
                init(way, output, asked, &out, force).await
            }
            Self::Join { file, fingerprint } => join(way, output, &file, fingerprint).await,
            Self::List => {
                let mut daemon = connect::connect(way).await?;
                let consortia = daemon.list_consortia(control::ListConsortiaRequest {}).await?.into_inner().consortia;
                output.say(|| &consortia, || listing(&consortia))
            }
            Self::Leave { name } => {
                let mut daemon = connect::connect(way).await?;
                daemon.leave_consortium(control::LeaveConsortiumRequest { name: name.clone() }).await?;
                let words = || format!("{name} is left; members that are no peers are no longer known here");
                output.say(|| serde_json::json!({ "left": name }), words)
            }
        }
    }
}

async fn init(
    way: &Way,
    output: Output,
    asked: control::InitConsortiumRequest,
    out: &Path,
    force: bool,
) -> Result<(), Failure> {
    let place = Destination::new(out, force);
    // A roster is signed only if it can be handed on.
    place.check()?;
    let mut daemon = connect::connect(way).await?;
    let founded = daemon.init_consortium(asked).await?.into_inner();
    let mut file = place.begin().await?;
    file.add(founded.roster.as_bytes()).await?;
    file.finish().await?;
    let output = if place.is_standard_output() { output.aside() } else { output };
    let words = || {
        let (name, version, shown) = (&founded.name, founded.version, out.display());
        format!(
            "{shown}: version {version} of the roster of {name}, {} members\n  fingerprint  {}\n  Give the file to all \
             members, and read them the fingerprint by another way; there: tacitly consortium join {shown}",
            founded.members.len(),
            founded.fingerprint,
        )
    };
    output.say(|| &founded, words)
}

async fn join(way: &Way, output: Output, file: &Path, compared: Option<RosterFingerprint>) -> Result<(), Failure> {
    let signed = read(file)?;
    let fingerprint = match compared {
        Some(compared) => compared,
        None if std::io::stdin().is_terminal() => {
            murmur(&question(&signed));
            confirm(&signed, &mut std::io::stdin().lock())?
        }
        None => {
            let hint = "give the fingerprint that the founder has read out: --fingerprint F";
            return Err(Failure::hinted("nobody is here to compare the fingerprint of the roster", hint));
        }
    };
    let mut daemon = connect::connect(way).await?;
    let roster = String::from_utf8(signed.encode()).map_err(Failure::plain)?;
    let asked = control::JoinConsortiumRequest { roster, fingerprint: fingerprint.to_string() };
    let joined = daemon.join_consortium(asked).await?.into_inner();
    output.say(
        || &joined,
        || format!("{}: version {} is pinned, {} members", joined.name, joined.version, joined.members.len()),
    )
}

/// Reads a roster from a file, which may be anybody's.
fn read(path: &Path) -> Result<SignedRoster, Failure> {
    let shown = path.display();
    let most = SignedRoster::MAX_BYTES as u64;
    let mut bytes = Vec::new();
    let found = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    found.map_err(|error| Failure::plain(format!("{shown} cannot be read: {error}")))?;
    SignedRoster::parse(&bytes).map_err(|error| {
        let hint = "ask the founder for the file that `tacitly consortium init` has written";
        Failure::hinted(format!("{shown} is no roster: {error}"), hint)
    })
}

/// What is asked of the person who joins.
fn question(signed: &SignedRoster) -> String {
    let roster = signed.roster();
    let members: Vec<String> = roster.members().map(|(party, _)| party.to_string()).collect();
    format!(
        "version {} of the roster of {}, founded by {}, {} members:\n  {}\n\n  {}\n\nAsk the founder to read its fingerprint \
         to you by another way than that by which the file came. Is it this one, letter for letter? [yes/no]",
        roster.version,
        roster.name,
        roster.founder.name(),
        members.len(),
        members.join(", "),
        signed.fingerprint(),
    )
}

fn confirm(signed: &SignedRoster, answers: &mut impl BufRead) -> Result<RosterFingerprint, Failure> {
    let mut answer = String::new();
    answers.take(16).read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(signed.fingerprint());
    }
    let hint =
        "if the founder has read out another one, the file is not the founder's: ask for it again, by another way";
    Err(Failure::hinted("nothing is pinned: the fingerprint was not confirmed with \"yes\"", hint))
}

fn name(text: &str) -> Result<Code, &'static str> {
    Code::parse(text)
        .map_err(|_| "a consortium's name has 1 to 32 of a-z, 0-9, '-', '_' and '.', and begins with a letter")
}

fn fingerprint(text: &str) -> Result<RosterFingerprint, String> {
    RosterFingerprint::parse(text).map_err(|error| error.to_string())
}

fn listing(consortia: &[control::Consortium]) -> String {
    if consortia.is_empty() {
        return "no consortia; `tacitly consortium init` founds one, `tacitly consortium join` pins one".to_owned();
    }
    let mut lines = Vec::new();
    for consortium in consortia {
        let control::Consortium { name, version, founder, fingerprint, .. } = consortium;
        lines.push(format!("{name}: version {version}, founded by {founder}, {fingerprint}"));
        let mut rows = vec![["  MEMBER", "PEER", "KEY"].map(str::to_owned).to_vec()];
        for member in &consortium.members {
            let peer = if member.is_peer { "yes" } else { "no" };
            rows.push(vec![format!("  {}", member.party), peer.to_owned(), member.key.clone()]);
        }
        lines.push(table(&rows));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use tacitly_attestation::entry::Count;
    use tacitly_attestation::note::{KeyUse, VerifierKey};
    use tacitly_attestation::roster::Roster;

    use super::*;

    fn signed() -> SignedRoster {
        let founder = SigningKey::from_bytes(&[1; 32]);
        let key = |name, byte| VerifierKey::of(name, KeyUse::Text, &SigningKey::from_bytes(&[byte; 32])).unwrap();
        let roster = Roster {
            name: Code::parse("east-banks").unwrap(),
            version: Count::new(1).unwrap(),
            founder: key("bank", 1),
            members: vec![key("bank", 1), key("shop", 2)],
        };
        SignedRoster::sign(&roster, &founder).unwrap()
    }

    #[test]
    fn whoever_joins_is_shown_the_fingerprint_and_nothing_but_yes_confirms_it() {
        let signed = signed();
        let asked = question(&signed);
        for words in [&*signed.fingerprint().to_string(), "bank, shop", "east-banks", "another way"] {
            assert!(asked.contains(words), "{asked}");
        }
        for answer in ["yes\n", " YES \n", "yes"] {
            assert_eq!(confirm(&signed, &mut answer.as_bytes()).unwrap(), signed.fingerprint(), "{answer}");
        }
        for answer in ["", "\n", "no\n", "y\n", "yes, but\n", &"yes ".repeat(9)] {
            assert!(confirm(&signed, &mut answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_file_that_is_no_roster_is_named_and_however_long_only_its_beginning_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.roster");
        std::fs::write(&path, signed().encode()).unwrap();
        assert_eq!(read(&path).unwrap(), signed());
        let endless = Path::new("/dev/zero").to_owned();
        let long = folder.path().join("long");
        File::create(&long).unwrap().set_len(1 << 40).unwrap();
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &signed().encode()[1..]).unwrap();
        for (path, says) in [
            (endless, "is no roster"),
            (long, "is no roster"),
            (cut, "is no roster"),
            (folder.path().to_owned(), "cannot be read"),
            (folder.path().join("none"), "cannot be read"),
        ] {
            let failure = read(&path).unwrap_err().to_string();
            assert!(failure.contains(says) && failure.contains(&*path.display().to_string()), "{failure}");
        }
    }
}
