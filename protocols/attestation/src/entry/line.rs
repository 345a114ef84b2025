//! A line of canonical JSON, as entries and manifests have it.

use std::collections::BTreeMap;

use tacitly_core::{MalformedTerms, Terms, Value};

use super::field::Fields;
use super::malformed::MalformedEntry;
use super::refusal::{EntryRefusal, Place};

/// Writes fields as one line with its line feed.
pub(crate) fn write_line(map: BTreeMap<String, Value>) -> String {
    let terms = map.into_iter().fold(Terms::new(), |terms, (name, value)| terms.with(&name, value));
    // JSON is UTF-8; an empty line would be refused by every reader.
    String::from_utf8(terms.canonical()).unwrap_or_default() + "\n"
}

/// Reads one line with its line feed; `read` takes the fields it knows, and none may be left.
pub(crate) fn read_line<T>(
    text: &str,
    read: impl FnOnce(&mut Fields<'_>) -> Result<T, EntryRefusal>,
) -> Result<T, MalformedEntry> {
    let line = text.strip_suffix('\n').filter(|line| !line.contains('\n')).ok_or(MalformedEntry::Line)?;
    let terms = Terms::parse(line.as_bytes()).map_err(|malformed| match malformed {
        MalformedTerms::TooLong { found, .. } => MalformedEntry::TooLong(found),
        MalformedTerms::NotCanonical => MalformedEntry::NotCanonical,
        MalformedTerms::NotTerms | MalformedTerms::Field(_) => MalformedEntry::NotJson,
    })?;
    let mut fields = Fields::new(&Place::Entry, terms.fields());
    let value = read(&mut fields)?;
    fields.finish()?;
    Ok(value)
}
