//! Texts within a text: each behind a line with its name and its length in bytes.

use crate::encoding::from_decimal;

/// Adds a section. The content ends with a line feed, so that the next header begins a line.
pub(crate) fn write(text: &mut String, name: &str, content: &str) {
    text.push_str(&format!("{name} {}\n{content}", content.len()));
}

/// The sections of a text that have not been read yet.
pub(crate) struct Sections<'t>(pub(crate) &'t str);

impl<'t> Sections<'t> {
    /// The content of the next section, if it has this name and its length lies within the text.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'t str> {
        let (length, rest) = self.0.strip_prefix(name)?.strip_prefix(' ')?.split_once('\n')?;
        let length = usize::try_from(from_decimal(length)?).ok()?;
        let content = rest.get(..length).filter(|content| content.ends_with('\n'))?;
        self.0 = &rest[length..];
        Some(content)
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
