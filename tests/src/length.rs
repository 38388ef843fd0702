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

    /// Whether this is the full form; says on standard output what is left out otherwise.
    pub fn is_full(self) -> bool {
        if self == Self::Short {
            println!("only with DOHLE_PROGRAMS=full (make test-streams)");
        }
        self == Self::Full
    }
}
