//! Why there are no figures.

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A session did not come to its end.
    #[error(transparent)]
    Ended(#[from] crate::session::Ended),
    /// A link did not come up.
    #[error(transparent)]
    Link(#[from] crate::session::LinkError),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl BenchError {
    pub(super) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// The middle one of some values; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
