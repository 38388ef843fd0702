//! Why TLS cannot be set up.

use std::path::PathBuf;

/// Why TLS cannot be set up. Each message names the property and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A property whose value is not allowed.
    #[error("{property} is {value:?}; allowed is {allowed}")]
    Invalid {
        /// The property, with its listener's prefix if it has one.
        property: String,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Properties that are missing, or that exclude each other.
    #[error("{0}")]
    Combination(String),
    /// A property that loads Java classes.
    #[error(
        "{property} is {value:?}: Dohle loads no Java classes and has its own TLS engine; remove \
         the property"
    )]
    Class {
        /// The property.
        property: String,
        /// The name of the class.
        value: String,
    },
    /// A file that cannot be read.
    #[error("{property}: {} cannot be read: {source}", file.display())]
    File {
        /// The property that names the file.
        property: String,
        /// The file.
        file: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A file, or an inline value, whose content cannot be used.
    #[error("{property}{}: {reason}", in_file(file.as_ref()))]
    Content {
        /// The property that has the content, or that names the file.
        property: String,
        /// The file; `None` for an inline value.
        file: Option<PathBuf>,
        /// What is wrong, and what to do.
        reason: String,
    },
}

fn in_file(file: Option<&PathBuf>) -> String {
    file.map_or_else(String::new, |file| format!(" ({})", file.display()))
}
