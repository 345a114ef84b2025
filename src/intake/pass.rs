//! One pass over a file of any format, with the check that it is still the registered file.

use super::csv_pass::CsvPass;
use super::frame::FramePass;
use super::parquet_pass::ParquetPass;
use super::row::{Schema, Visitor};
use super::source::OpenFile;
use super::{Budget, FileDigest, Format, IntakeError, Problem, Source};

pub(super) struct Pass<'a> {
    source: &'a Source,
    /// None if there is no file: a frame cannot change.
    file: Option<OpenFile>,
    expected: Option<&'a FileDigest>,
    budget: &'a Budget<'a>,
    reader: Reader,
}

enum Reader {
    Csv(Box<CsvPass>),
    Parquet(ParquetPass),
    Frame(FramePass),
}

impl<'a> Pass<'a> {
    pub(super) fn open(
        source: &'a Source,
        expected: Option<&'a FileDigest>,
        budget: &'a Budget<'a>,
    ) -> Result<Self, IntakeError> {
        if let Format::Frame(frame) = &source.format {
            let reader = Reader::Frame(FramePass::new(frame));
            return Ok(Self { source, file: None, expected, budget, reader }.after_registration());
        }
        let file = OpenFile::open(&source.path)?;
        if !file.is_packed() && expected.is_some_and(|expected| expected.size != file.size) {
            return Err(IntakeError::of(&source.path, Problem::Changed));
        }
        let reader = match source.format {
            Format::Csv { encoding, delimiter, header } => {
                CsvPass::open(&source.path, &file, encoding, delimiter, header).map(|pass| Reader::Csv(Box::new(pass)))
            }
            _ => ParquetPass::open(&source.path, &file, budget).map(Reader::Parquet),
        };
        match reader {
            Ok(reader) => Ok(Self { source, file: Some(file), expected, budget, reader }.after_registration()),
            Err(error) => Err(unless_changed(source, Some(&file), expected, error)),
        }
    }

    /// A file was registered with a key, whose columns were found by their names.
    fn after_registration(mut self) -> Self {
        if self.expected.is_some() {
            self.know_names();
        }
        self
    }

    /// Notes that the columns asked for were found by their names, so that the header holds names.
    pub(super) fn know_names(&mut self) {
        let schema = match &mut self.reader {
            Reader::Csv(pass) => &mut pass.schema,
            Reader::Parquet(pass) => &mut pass.schema,
            Reader::Frame(pass) => &mut pass.schema,
        };
        schema.names_are_known = true;
    }

    pub(super) fn schema(&self) -> &Schema {
        match &self.reader {
            Reader::Csv(pass) => &pass.schema,
            Reader::Parquet(pass) => &pass.schema,
            Reader::Frame(pass) => &pass.schema,
        }
    }

    /// `error`, unless the file has changed: then that.
    pub(super) fn unless_changed(&self, error: IntakeError) -> IntakeError {
        unless_changed(self.source, self.file.as_ref(), self.expected, error)
    }

    /// Shows every row, with the `wanted` columns, to `visitor`. Returns the digest of the bytes that were read.
    pub(super) fn visit(self, wanted: &[usize], visitor: &mut impl Visitor) -> Result<FileDigest, IntakeError> {
        let Self { source, file, expected, budget, reader } = self;
        let digest = match reader {
            Reader::Csv(pass) => pass.visit(wanted, budget, visitor),
            Reader::Parquet(pass) => pass.visit(wanted, budget, visitor),
            Reader::Frame(pass) => pass.visit(wanted, budget, visitor),
        };
        match digest {
            Ok(digest) if expected.is_none_or(|expected| *expected == digest) => Ok(digest),
            Ok(_) => Err(IntakeError::of(&source.path, Problem::Changed)),
            Err(error) => Err(unless_changed(source, file.as_ref(), expected, error)),
        }
    }
}

/// In a file that has changed, whatever went wrong is not the news: that it has changed is.
fn unless_changed(
    source: &Source,
    file: Option<&OpenFile>,
    expected: Option<&FileDigest>,
    error: IntakeError,
) -> IntakeError {
    let is_about_content = !matches!(
        error.problem,
        Problem::Stopped
            | Problem::OverBudget { .. }
            | Problem::ColumnsOverBudget { .. }
            | Problem::Writing(_)
            | Problem::Reading(_)
            | Problem::Exhausted(_)
            | Problem::Spilling(_)
            | Problem::SpillDamaged
    );
    match (expected, file) {
        (Some(expected), Some(file))
            if is_about_content && file.digest_while(|| true).is_ok_and(|digest| digest != *expected) =>
        {
            IntakeError::of(&source.path, Problem::Changed)
        }
        _ => error,
    }
}
