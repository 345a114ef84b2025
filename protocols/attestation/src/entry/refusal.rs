//! Why a value may not stand in an entry: by field, never by value.

use std::fmt;

use crate::lint::Shape;

/// A field that an entry must not have as it is. The value is not in here, so it cannot reach a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {reason}")]
pub struct EntryRefusal {
    /// Which, with the names of its parents before it; list items by their place from 0.
    pub field: String,
    /// Why.
    #[source]
    pub reason: Reason,
}

/// Why a value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The field must be there.
    #[error("it is missing")]
    Missing,
    /// The kind of entry has no such field. Its name is not repeated: it may hold what must not be logged.
    #[error("a field that entries of this kind do not have")]
    Undeclared,
    /// Not of the declared form.
    #[error("expected {0}")]
    Form(&'static str),
    /// More items than any entry has.
    #[error("more than {0} items")]
    TooMany(usize),
    /// Of the declared form, but it looks like something that must never be logged.
    #[error("it looks like {0}")]
    Personal(Shape),
    /// Each field is right, and together they cannot be.
    #[error("{0}")]
    Inconsistent(&'static str),
}

/// Refuses what does not hold.
pub(crate) fn ensure(holds: bool, why: &'static str) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(Reason::Inconsistent(why)) }
}

/// Where in an entry we are, for the refusal's sake.
#[derive(Clone, Copy)]
pub(crate) enum Place<'p> {
    /// The entry itself.
    Entry,
    /// A named field.
    Field(&'p Place<'p>, &'p str),
    /// An item of a list.
    Item(&'p Place<'p>, usize),
}

impl From<Reason> for EntryRefusal {
    /// What is wrong with the whole.
    fn from(reason: Reason) -> Self {
        Self { field: Place::Entry.to_string(), reason }
    }
}

impl Place<'_> {
    pub(crate) fn refuse<T>(&self, reason: Reason) -> Result<T, EntryRefusal> {
        Err(EntryRefusal { field: self.to_string(), reason })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry => f.write_str("(entry)"),
            Self::Field(Place::Entry, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}
