//! How long the stories of programs that depend on transactions are.

/// The short form is a part of `make test`, the full form is `make test-streams`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Some of the faults.
    Short,
    /// All of them, and what takes minutes.
    Full,
}

impl Length {
    /// The length that `DOHLE_PROGRAMS` wishes: `full`, or otherwise the short form.
    pub fn wished() -> Self {
        match std::env::var("DOHLE_PROGRAMS").as_deref() {
            Ok("full") => Self::Full,
            _ => Self::Short,
        }
    }

    /// The value for this length.
    pub fn choose<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}
