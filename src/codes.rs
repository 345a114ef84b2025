//! Stable error codes: one table of what can go wrong, why, and how to mend it.
//!
//! A code never changes its meaning. The same name stands in job failures, in gRPC statuses, in the CLI's output and in
//! `docs/errors.md`, which a test compares with this table.

use tacitly_core::text::{is_plain, printable};

/// The most characters of what is said about one error.
const LONGEST: usize = 4096;

/// One entry of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable name.
    pub name: &'static str,
    /// What has happened.
    pub cause: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

macro_rules! codes {
    ($($constant:ident $name:literal $cause:literal $hint:literal;)*) => {
        $(#[doc = $cause] pub const $constant: &Code = &Code { name: $name, cause: $cause, hint: $hint };)*

        /// Every code there is.
        pub const ALL: &[&Code] = &[$($constant),*];
    };
}

codes! {
    TERMS_DIFFER "terms-differ" "Both sides are honest and mean different things; nothing was exchanged."
        "Agree on one value for the field named, change the dataset or the request on one side and submit again.";
    PEER_LOST "peer-lost" "The link to the peer stayed down longer than the reconnect window, or nothing moved there for too long."
        "Check the peer's daemon and the network, then `tacitly job resume JOB` on either side.";
    PEER_RESTARTED "peer-restarted" "The peer's daemon was restarted during the job."
        "Nothing, usually: the job resumes when the peer is back. Otherwise `tacitly job resume JOB`.";
    PEER_FAILED "peer-failed" "The peer ended the job because something failed on its side."
        "Ask the peer's operators; their log and `tacitly job list` hold the reason under the same job number.";
    PROTOCOL_VIOLATION "protocol-violation" "The peer broke the rules of the protocol; its answer cannot be trusted."
        "Do not repeat the job before the peer has explained itself; the violation, round and place are in the job.";
    PROTOCOL_DISPUTE "protocol-dispute" "What two parties say excludes each other, and it cannot be told which of them broke the protocol."
        "Ask both; the two names and the code of the rule are in the job.";
    DEADLINE "deadline" "The job took longer than it may."
        "Raise limits.job_deadline_hours in party.toml, or find out from `tacitly job list` which stage stood still.";
    TERMS_EXPIRED "terms-expired" "The terms of the job were over before it came to a result."
        "Submit it again, with a later end or without one.";
    LEFT_OUT "left-out" "The other parties finished the job without this one, which they could not reach in time."
        "Check this daemon and its links; the others may submit the job again.";
    CANCELLED "cancelled" "A person or program cancelled the job." "Submit it again if it is still wanted.";
    REVOKED "revoked" "A party, or its rule, has ended the service." "Submit the job again if it is still wanted.";
    NOT_SERVING "not-serving" "The job answers no questions at the moment, here or there."
        "`tacitly job show JOB` tells its state on each side: it may be paused, not set up yet, or just starting.";
    OVER_QUOTA "over-quota" "A budget for questions is used up; nothing was released."
        "Wait for the next day, or let the owner raise the limit that the text names.";
    MATERIAL_NONE "material-none" "The material that an answer needs is used up at the moment, or was lost in a crash."
        "Ask again with a fresh key; the service prepares more by itself.";
    REFUSED_NO_RULE "refused-no-rule" "The owner of the dataset has given this peer no rule; without one everything is refused."
        "The dataset's owner runs `tacitly dataset allow` with the names in the text.";
    REFUSED_BY_RULE "refused-by-rule" "The rule of the dataset's owner does not cover this job."
        "Change the request as the text says, or the owner widens the rule with `tacitly dataset allow`.";
    REFUSED_BY_PERSON "refused-by-person" "An approver refused the job." "Ask the approver.";
    BELOW_MINIMUM "below-minimum" "The intersection is smaller than a rule demands; nothing was released."
        "Use larger datasets, or the owner lowers the limit min_intersection.";
    PEER_UNKNOWN "peer-unknown" "No peer of this name is pinned here, or no member of a consortium where one would do."
        "`tacitly peer list` and `tacitly consortium list` show who is; `tacitly peer invite NAME` and `tacitly peer join` add a peer.";
    PEER_IN_USE "peer-in-use" "The peer or member has jobs that are not over."
        "Cancel them or wait, then remove the peer or leave the consortium.";
    CONSORTIUM_UNKNOWN "consortium-unknown" "No roster of a consortium of this name is pinned here."
        "`tacitly consortium list` shows all; `tacitly consortium join` pins one.";
    ROSTER "roster" "The roster is not pinned: it is damaged, older than the pinned one, not the one that was compared, or gives a party another key."
        "Read the text; compare the fingerprint with the founder by another way, and ask for the newest roster.";
    KEY_REVOKED "key-revoked" "The signing key of a party was revoked; what is signed with it from then on counts no more."
        "The party makes a new identity with `tacitly init` in another folder, and joins its peers anew; docs/operations.md says how.";
    LINK_DOWN "link-down" "There is no connection to the peer at the moment."
        "`tacitly doctor` tells why; the daemon keeps dialling.";
    INVITATION "invitation" "The invitation is not valid: mistyped, used, expired, of another version or for another party."
        "Ask for a new one under your own name: `tacitly peer invite NAME`.";
    DAEMON_GONE "daemon-gone" "Our own daemon went away while it was asked something."
        "Start it again with `tacitly serve`; jobs that were under way go on by themselves, and `tacitly job list` shows them.";
    DATASET_UNKNOWN "dataset-unknown" "There is no dataset of this name."
        "`tacitly dataset list` on the side that owns it; `tacitly dataset add` makes one.";
    DATASET_EXISTS "dataset-exists" "A dataset of this name is there already."
        "Choose another name, or add with --replace.";
    DATASET_IN_USE "dataset-in-use" "Jobs that are not over use this dataset." "Cancel them or wait.";
    DATASET_CHANGED "dataset-changed" "The file is not the one that was added: its size or SHA-256 differs."
        "If the change is meant, `tacitly dataset add NAME PATH --replace`.";
    DATASET_FINGERPRINT "dataset-fingerprint" "The dataset has no such fingerprint, so no record of it can be opened."
        "Take the fingerprint from a dataset entry of the log; a dataset of an older version gets one by `tacitly dataset add --replace`.";
    DATASET_INPUT "dataset-input" "The file cannot be read as the dataset says."
        "Mend the file where the text says, or add the dataset with other settings.";
    TOO_MANY_ROWS "too-many-rows" "A set has more distinct keys than one job takes."
        "Split the file, or raise the memory budget if the text names it.";
    LIMIT "limit" "A limit for this peer is reached." "Wait for other jobs to end, or raise the limit in party.toml.";
    FRAMES_OFF "frames-off" "This party takes no frames, or no more of them."
        "Set limits.frame_mib in party.toml, or register a file with `tacitly dataset add`.";
    FRAME_GONE "frame-gone" "The frame of this job was in the memory of a process that has ended."
        "Submit the job again with the frame.";
    NOT_MET "not-met" "The peer did not ask for the same job in time."
        "Run the same call under the same job name on the other side, or wait longer with `timeout`.";
    JOB_UNKNOWN "job-unknown" "There is no job of this number." "`tacitly job list` shows all.";
    JOB_STATE "job-state" "The job's state does not allow this." "docs/jobs.md has the table of states.";
    REQUEST_KEY "request-key" "This request key was used for another job, or other questions."
        "Use a fresh request key for other terms or questions.";
    RESULT_NONE "result-none" "There is no result to hand out: not done, not a receiver, or purged."
        "`tacitly job show JOB` tells which.";
    BAD_REQUEST "bad-request" "The request itself is malformed." "Mend it as the text says.";
    PERMISSION "permission" "The caller's role does not allow this." "Use a token with the role that the text names.";
    DISK_FULL "disk-full" "The disk is full; nothing that was acknowledged is lost."
        "Free space on the file system named, then do it again; a job that has failed is submitted again.";
    RESTORED "restored" "The store was restored from a backup; in the lost one the job may have gone on and released its result."
        "Compare with the peer's `tacitly job list` under the same number; submit again if the result is still wanted.";
    STORE "store" "The store refused." "Read the text; `tacitly doctor` checks the store.";
    DAMAGED "damaged" "Something in the store is not what was put there."
        "Stop the daemon, run `tacitly doctor`, and put a backup back with `tacitly restore`.";
    SYSTEM "system" "The operating system gave no file, thread, memory or randomness."
        "End other programs, or raise the limit that the text names (`ulimit -n`, `LimitNOFILE`), then do it again.";
    CLOCK "clock" "This machine's clock is before 2020 or after 2099, so nothing can be put on record."
        "Set the clock, for example with chrony or systemd-timesyncd, then do it again.";
    LOG "log" "The attestation log refused."
        "Read the text; `tacitly log fsck` checks the log.";
    LOG_OLD "log-old" "The attestation log is an old copy, or another log has signed as this one; it takes no entries."
        "Put the newest copy of the log's folder in its place, or begin a log of another name; docs/attestation.md says how.";
    EVIDENCE "evidence" "The certificate or the opening does not hold; the reason stands in front of the text."
        "Do not rely on it. Ask its issuer for the unchanged file; docs/attestation.md explains each reason.";
    EVIDENCE_NONE "evidence-none" "There is no evidence of this job."
        "Evidence begins with the agreement, before round 1; `tacitly events --job JOB` shows what came before.";
    INTERNAL "internal" "A mistake in Tacitly itself." "Please report it with the log around this line.";
}

/// Looks a code up by its name; unknown names (a newer peer's) become [`PEER_FAILED`]'s neighbour, `None`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.name == name)
}

/// Something went wrong: a code and what exactly, in words that carry no data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    /// Which entry of the table.
    pub code: &'static Code,
    /// What, where. Never a value of anyone's data, and one line that shows as it is, whoever's words are in it.
    pub text: String,
    /// The party to blame or lost, if there is one.
    pub who: Option<tacitly_core::PartyId>,
    /// What was being done, if a job was running.
    pub stage: String,
}

impl Error {
    /// An error of this kind, in these words.
    #[must_use]
    pub fn new(code: &'static Code, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = if text.len() <= LONGEST && is_plain(&text) { text } else { printable(&text, LONGEST) };
        Self { code, text, who: None, stage: String::new() }
    }

    /// A mistake of ours that nobody can mend from outside.
    #[must_use]
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(INTERNAL, what)
    }

    /// What comes back from the store is not what was put there.
    #[must_use]
    pub fn damaged(what: impl std::fmt::Display) -> Self {
        Self::new(DAMAGED, what.to_string())
    }

    /// What the peer says or shows breaks the rules.
    #[must_use]
    pub fn lie(peer: tacitly_core::PartyId, what: &str) -> Self {
        Self::new(PROTOCOL_VIOLATION, format!("{peer}: {what}")).with(peer)
    }

    /// The same error, naming a party.
    #[must_use]
    pub fn with(mut self, who: tacitly_core::PartyId) -> Self {
        self.who = Some(who);
        self
    }

    /// The same error, naming the stage.
    #[must_use]
    pub fn during(mut self, stage: impl Into<String>) -> Self {
        self.stage = stage.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_words_in_an_error_command_the_terminal_that_shows_it() {
        let error = Error::new(BAD_REQUEST, format!("shop: \x1b[2J\u{202e}{}", "x".repeat(9000)));
        assert!(is_plain(&error.text) && error.text.chars().count() <= LONGEST + 20, "{}", error.text);
        assert_eq!(Error::new(LIMIT, "银行: wait").text, "银行: wait");
    }

    #[test]
    fn every_code_is_named_once_and_says_what_to_do() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|code| code.cause.ends_with('.') && code.hint.ends_with('.')));
    }
}
