//! Which code multiplies: chosen once at run time, or named by the caller.

use std::fmt;
use std::sync::OnceLock;

/// A way to compute the batch functions of this crate. All give the same bytes on every input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// 64-bit integers, safe code, any CPU.
    Portable,
    /// Eight points per register on x86-64 with AVX-512 IFMA.
    Ifma8,
}

/// What the process uses where no backend is named.
static DEFAULT: OnceLock<Backend> = OnceLock::new();

impl Backend {
    /// Every backend there is, the slowest first.
    pub const ALL: [Self; 2] = [Self::Portable, Self::Ifma8];

    /// The fastest backend of this CPU.
    #[must_use]
    pub fn detect() -> Self {
        if Self::Ifma8.is_available() { Self::Ifma8 } else { Self::Portable }
    }

    /// The backends of this CPU, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|backend| backend.is_available())
    }

    /// Whether this CPU can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Ifma8 => crate::ifma8::Ifma8::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Ifma8 => false,
        }
    }

    /// What [`hash_mul_encode`](crate::hash_mul_encode) and [`mul_encode`](crate::mul_encode) use:
    /// [`Self::detect`], unless [`Self::set_default`] came first.
    #[must_use]
    pub fn default_of_process() -> Self {
        *DEFAULT.get_or_init(Self::detect)
    }

    /// Makes this backend the process's default, for a bench or a test of the layers above. It works once, before
    /// anything was multiplied.
    ///
    /// # Errors
    /// [`BackendRefused`] if this CPU cannot run it, or another default is in use already.
    pub fn set_default(self) -> Result<(), BackendRefused> {
        if !self.is_available() {
            return Err(BackendRefused::NotAvailable { asked: self });
        }
        match *DEFAULT.get_or_init(|| self) {
            used if used == self => Ok(()),
            used => Err(BackendRefused::InUse { asked: self, used }),
        }
    }

    /// Its name as the README and the benches write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Ifma8 => "ifma8",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A backend that cannot become the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendRefused {
    /// The CPU lacks what the backend needs.
    #[error("this CPU cannot run the curve backend {asked}; leave the choice to the process or take portable")]
    NotAvailable {
        /// The backend asked for.
        asked: Backend,
    },
    /// The process has its default already.
    #[error("the curve backend {asked} was chosen too late: this process uses {used} already")]
    InUse {
        /// The backend asked for.
        asked: Backend,
        /// The backend in use.
        used: Backend,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_set_once() {
        let fastest = Backend::detect();
        assert_eq!(fastest.set_default(), Ok(()));
        assert_eq!(fastest.set_default(), Ok(()));
        assert_eq!(Backend::default_of_process(), fastest);
        if fastest != Backend::Portable {
            let late = BackendRefused::InUse { asked: Backend::Portable, used: fastest };
            assert_eq!(Backend::Portable.set_default(), Err(late));
        }
    }

    #[test]
    fn what_is_detected_is_available_and_named() {
        assert!(Backend::available().any(|backend| backend == Backend::detect()));
        assert_eq!(Backend::ALL.map(|backend| backend.to_string()), ["portable", "ifma8"]);
    }
}
