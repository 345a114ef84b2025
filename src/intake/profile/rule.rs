use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a profile refuses a cell. It says which rule was broken, never what stood in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Nothing stands in the cell, or white space only, or a Parquet null.
    Empty,
    /// Not text in UTF-8.
    Text,
    /// Too short or too long.
    Length,
    /// A character that has no place in such a value.
    Alphabet,
    /// Not the beginning that such a value has: a landline, another country, a missing `+`.
    Prefix,
    /// The parts stand in no known order.
    Form,
    /// The date inside is not in the calendar.
    Date,
    /// The check character does not fit the rest.
    CheckDigit,
    /// A 15-digit identity number whose century is not 19.
    Century,
    /// A number that a spreadsheet has rewritten, as 1.38E+10 or with `.0` behind it.
    Spreadsheet,
}

impl Rule {
    /// Every rule, in order.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::Text,
        Self::Length,
        Self::Alphabet,
        Self::Prefix,
        Self::Form,
        Self::Date,
        Self::CheckDigit,
        Self::Century,
        Self::Spreadsheet,
    ];

    /// The stable name of the rule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Text => "text",
            Self::Length => "length",
            Self::Alphabet => "alphabet",
            Self::Prefix => "prefix",
            Self::Form => "form",
            Self::Date => "date",
            Self::CheckDigit => "check-digit",
            Self::Century => "century",
            Self::Spreadsheet => "spreadsheet",
        }
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "the cell is empty",
            Self::Text => "the cell is not text in UTF-8",
            Self::Length => "too short or too long",
            Self::Alphabet => "a character has no place there",
            Self::Prefix => "not the beginning of such a value",
            Self::Form => "the parts stand in no known order",
            Self::Date => "the date inside is not in the calendar",
            Self::CheckDigit => "the check character does not fit",
            Self::Century => "a 15-digit number of someone born before 1900",
            Self::Spreadsheet => "a spreadsheet has rewritten the number; store the column as text",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.words())
    }
}
