//! Reads the files that Java's `java.security.auth.login.config` names: sections of login modules.
//!
//! ```text
//! KafkaServer {
//!     org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";
//! };
//! ```
//!
//! Source: `sun.security.provider.ConfigFile`, without its `${…}`.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{JaasError, Token, Tokens, options};
use crate::Secret;

/// One login module of a section. Any name of a module is accepted here.
#[derive(Debug, Clone)]
pub struct JaasEntry {
    /// The name of the class.
    pub module: String,
    /// `required` or another flag.
    flag: String,
    /// The options.
    options: Vec<(String, Secret)>,
}

impl JaasEntry {
    /// Returns the value of `sasl.jaas.config` that has the same meaning.
    #[must_use]
    pub fn property(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("{} {}", self.module, self.flag));
        for (name, value) in &self.options {
            let _ = write!(text, " {}={}", *quoted(name), *quoted(value.expose()));
        }
        text.push(';');
        text
    }
}

/// Returns a text in quotes.
fn quoted(text: &str) -> Zeroizing<String> {
    let mut quoted = Zeroizing::new("\"".to_owned());
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '"' | '\\' => quoted.extend(['\\', c]),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a login module with options as the value of `sasl.jaas.config`.
#[must_use]
pub fn jaas_property(module: super::LoginModule, options: &[(&str, &str)]) -> Zeroizing<String> {
    let options = options.iter();
    let entry = JaasEntry {
        module: module.class().to_owned(),
        flag: "required".to_owned(),
        options: options
            .map(|(name, value)| ((*name).to_owned(), Secret::new(value)))
            .collect(),
    };
    entry.property()
}

/// Returns the sections of a file, in their order: each with its name and its login modules.
///
/// # Errors
/// When the text is not a list of sections. The error has no value of an option.
pub fn parse_file(text: &str) -> Result<Vec<(String, Vec<JaasEntry>)>, JaasError> {
    let mut tokens = Tokens::new(text);
    let mut sections = Vec::new();
    loop {
        let name = match tokens.next()? {
            Token::End => return Ok(sections),
            Token::Word(name) | Token::Quoted(name) => name.to_string(),
            Token::Symbol(_) => return Err(JaasError::Section),
        };
        let Token::Symbol('{') = tokens.next()? else {
            return Err(JaasError::Section);
        };
        let mut entries = Vec::new();
        loop {
            let module = match tokens.next()? {
                Token::Symbol('}') => break,
                Token::Word(module) => module.to_string(),
                Token::End => return Err(JaasError::Section),
                Token::Quoted(_) | Token::Symbol(_) => return Err(JaasError::NoModule),
            };
            let Token::Word(flag) = tokens.next()? else {
                return Err(JaasError::NoFlag);
            };
            entries.push(JaasEntry {
                module,
                flag: flag.to_string(),
                options: options(&mut tokens)?,
            });
        }
        let Token::Symbol(';') = tokens.next()? else {
            return Err(JaasError::Section);
        };
        sections.push((name, entries));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{JaasConfig, LoginModule};
    use super::*;

    const FILE: &str = "// a comment\nKafkaServer {\n  \
        org.apache.kafka.common.security.plain.PlainLoginModule required\n  \
        username=\"swordfish\"\n  user_admin=\"a\\\"b\\\\c\";\n  \
        org.apache.kafka.common.security.scram.ScramLoginModule required;\n};\n\
        Client {\n  com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;\n};\n";

    #[test]
    fn each_section_has_its_login_modules() {
        let sections = parse_file(FILE).unwrap();
        let names: Vec<(&str, usize)> = sections
            .iter()
            .map(|(name, entries)| (name.as_str(), entries.len()))
            .collect();
        assert_eq!(names, [("KafkaServer", 2), ("Client", 1)]);
        let plain = &sections[0].1[0];
        let config = JaasConfig::parse(&plain.property()).unwrap();
        assert_eq!(config.module, LoginModule::Plain);
        assert_eq!(config.option("username"), Some("swordfish"));
        assert_eq!(config.option("user_admin"), Some("a\"b\\c"));
        assert!(!format!("{sections:?}").contains("swordfish"));
    }

    #[test]
    fn a_module_with_options_is_read_back() {
        let options = [("user_a b", "x\"y"), ("password", "\\;\n")];
        let text = jaas_property(LoginModule::Plain, &options);
        let config = JaasConfig::parse(&text).unwrap();
        for (name, value) in options {
            assert_eq!(config.option(name), Some(value));
        }
    }

    #[test]
    fn a_file_that_ends_early_is_refused_and_never_a_panic() {
        assert!(parse_file("").unwrap().is_empty());
        let ends = ["};", "Client {", "required useKeyTab"];
        for end in ends {
            let cut = &FILE[..FILE.find(end).unwrap()];
            let error = parse_file(cut).map(|sections| sections.len());
            assert!(error.is_err() || end == "Client {", "{end}");
        }
        for length in 0..FILE.len() {
            if let Err(error) = parse_file(&FILE[..length]) {
                assert!(!error.to_string().contains("swordfish"), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_files_are_an_error_without_a_panic(
            text in "\\PC*",
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 0..4),
            cut: prop::sample::Index,
        ) {
            let _ = parse_file(&text);
            let mut file: Vec<char> = FILE.chars().collect();
            for (at, changed) in changes {
                let at = at.index(file.len());
                file[at] = changed;
            }
            file.truncate(cut.index(file.len()) + 1);
            let file: String = file.into_iter().collect();
            for (_, entries) in parse_file(&file).unwrap_or_default() {
                for entry in entries {
                    let _ = JaasConfig::parse(&entry.property());
                }
            }
        }
    }
}
