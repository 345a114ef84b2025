//! The text of a policy, line by line.

use std::collections::{BTreeMap, BTreeSet};

use tacitly_core::PartyId;

use super::rule::{Rule, Witness};
use crate::encoding::from_decimal;
use crate::note::{KeyRing, KeyUse, MalformedKey, VerifierKey};

/// The longest text, in bytes.
pub(super) const MAX_BYTES: usize = 128 << 10;
/// The most lines.
pub(super) const MAX_LINES: usize = 1024;

/// What the text of a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The text without comments, addresses and spare white space.
    pub(super) canonical: String,
    pub(super) signers: KeyRing,
    pub(super) logs: KeyRing,
    pub(super) witnesses: Vec<Witness>,
    pub(super) rules: Vec<Rule>,
    /// The rule that has to be met, if one is asked.
    pub(super) quorum: Option<usize>,
    /// Public keys that count no more, with the seconds since 1970 from which on.
    pub(super) revoked: BTreeMap<[u8; 32], u64>,
}

/// A policy that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {fault}")]
pub struct MalformedPolicy {
    /// The line, from 1; 0 for the text as a whole.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub fault: PolicyFault,
}

/// What is wrong with a line of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// More text or more lines than are read.
    #[error("the policy is too long: 128 KiB, or 1,024 lines without comments")]
    TooLong,
    /// A control character.
    #[error("control characters other than tab and line feed are not allowed")]
    Characters,
    /// The last line has no line feed.
    #[error("the last line does not end with a line feed")]
    Unterminated,
    /// The first word is none of the six.
    #[error("a line begins with signer, log, witness, group, quorum or revoked")]
    Keyword,
    /// Words missing or left over.
    #[error("the line has too few or too many words")]
    Words,
    /// The key cannot be used.
    #[error("{0}")]
    Key(#[source] MalformedKey),
    /// The key is for another purpose.
    #[error("a witness needs a cosigner key (type 0x04), a log or signer a text key (type 0x01)")]
    KeyUse,
    /// The key of a signer does not bear a party's name.
    #[error("the key of a signer bears the party's name (1 to 32 of a-z, 0-9 and '-')")]
    SignerName,
    /// The same public key stands in another line of that kind.
    #[error("the same public key stands in two lines")]
    DuplicateKey,
    /// The name is taken, or is the reserved `none`.
    #[error("the name is taken or reserved")]
    DuplicateName,
    /// A name that no earlier line defines.
    #[error("a name that no line above defines")]
    UnknownName,
    /// A witness or group that counts in two places.
    #[error("a witness or group belongs to two groups")]
    DuplicateMember,
    /// The threshold is not `any`, `all` or a number from 1 to the number of members.
    #[error("the threshold is any, all or a number from 1 to the number of members")]
    Threshold,
    /// The time of a revocation is none.
    #[error("a key is revoked from a number of seconds since 1970 on")]
    Time,
    /// No quorum line, or a second one.
    #[error("a policy has exactly one quorum line")]
    Quorum,
}

/// A policy while its lines are read.
#[derive(Default)]
struct Draft {
    lines: Vec<String>,
    signers: KeyRing,
    logs: KeyRing,
    witnesses: Vec<Witness>,
    rules: Vec<Rule>,
    names: BTreeMap<String, usize>,
    members: BTreeSet<usize>,
    keys: BTreeSet<(&'static str, [u8; 32])>,
    quorum: Option<Option<usize>>,
    revoked: BTreeMap<[u8; 32], u64>,
}

pub(super) fn policy(text: &str) -> Result<Parsed, MalformedPolicy> {
    let whole = |fault| MalformedPolicy { line: 0, fault };
    if text.len() > MAX_BYTES {
        return Err(whole(PolicyFault::TooLong));
    }
    let mut draft = Draft::default();
    for (at, line) in text.split_terminator('\n').enumerate() {
        draft.line(line).map_err(|fault| MalformedPolicy { line: at + 1, fault })?;
    }
    if !text.ends_with('\n') {
        return Err(whole(PolicyFault::Unterminated));
    }
    let quorum = draft.quorum.ok_or(whole(PolicyFault::Quorum))?;
    Ok(Parsed {
        canonical: draft.lines.join("\n") + "\n",
        signers: draft.signers,
        logs: draft.logs,
        witnesses: draft.witnesses,
        rules: draft.rules,
        quorum,
        revoked: draft.revoked,
    })
}

impl Draft {
    fn line(&mut self, line: &str) -> Result<(), PolicyFault> {
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(PolicyFault::Characters);
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let [keyword, rest @ ..] = words.as_slice() else { return Ok(()) };
        if keyword.starts_with('#') {
            return Ok(());
        }
        if self.lines.len() >= MAX_LINES {
            return Err(PolicyFault::TooLong);
        }
        // What is kept of the line: all but the address behind a key.
        let kept = match (*keyword, rest) {
            ("signer", [key] | [key, _]) => {
                let key = self.key("signer", key, KeyUse::Text)?;
                key.name().parse::<PartyId>().map_err(|_| PolicyFault::SignerName)?;
                self.signers.add(key);
                &words[..2]
            }
            ("log", [key] | [key, _]) => {
                let key = self.key("log", key, KeyUse::Text)?;
                self.logs.add(key);
                &words[..2]
            }
            ("witness", [name, key] | [name, key, _]) => {
                let key = self.key("witness", key, KeyUse::Cosignature)?;
                self.define(name, Rule::Witness(self.witnesses.len()))?;
                self.witnesses.push(Witness { name: (*name).to_owned(), key });
                &words[..3]
            }
            ("group", [name, threshold, members @ ..]) => {
                self.group(name, threshold, members)?;
                &words[..]
            }
            ("quorum", [name]) => {
                let quorum = if *name == "none" { None } else { Some(self.find(name)?) };
                if self.quorum.replace(quorum).is_some() {
                    return Err(PolicyFault::Quorum);
                }
                &words[..]
            }
            ("revoked", [key, since]) => {
                let key = self.key("revoked", key, KeyUse::Text)?;
                self.revoked.insert(*key.public(), from_decimal(since).ok_or(PolicyFault::Time)?);
                &words[..]
            }
            ("signer" | "log" | "witness" | "group" | "quorum" | "revoked", _) => return Err(PolicyFault::Words),
            _ => return Err(PolicyFault::Keyword),
        };
        self.lines.push(kept.join(" "));
        Ok(())
    }

    fn key(&mut self, role: &'static str, text: &str, key_use: KeyUse) -> Result<VerifierKey, PolicyFault> {
        let key = VerifierKey::parse(text).map_err(PolicyFault::Key)?;
        if key.key_use() != key_use {
            return Err(PolicyFault::KeyUse);
        }
        if self.keys.insert((role, *key.public())) { Ok(key) } else { Err(PolicyFault::DuplicateKey) }
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), PolicyFault> {
        let members = members.iter().map(|member| self.find(member)).collect::<Result<Vec<_>, _>>()?;
        if members.iter().any(|member| !self.members.insert(*member)) {
            return Err(PolicyFault::DuplicateMember);
        }
        let needed = match threshold {
            "any" => Some(1),
            "all" => Some(members.len()),
            number => from_decimal(number).and_then(|needed| usize::try_from(needed).ok()),
        };
        let needed = needed.filter(|needed| (1..=members.len()).contains(needed)).ok_or(PolicyFault::Threshold)?;
        self.define(name, Rule::Group { needed, members })
    }

    fn define(&mut self, name: &str, rule: Rule) -> Result<(), PolicyFault> {
        if name == "none" || self.names.insert(name.to_owned(), self.rules.len()).is_some() {
            return Err(PolicyFault::DuplicateName);
        }
        self.rules.push(rule);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, PolicyFault> {
        self.names.get(name).copied().ok_or(PolicyFault::UnknownName)
    }
}
