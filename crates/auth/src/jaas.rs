//! Parses the value of `sasl.jaas.config`.
//!
//! A value names a login module and its options, as in
//! `org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="…";`.
//! Nothing is loaded by that name: it selects one of the modules that are built in, and any other
//! is refused (CVE-2023-25194). Errors name keys and modules, and never a value.
//!
//! Source: `org.apache.kafka.common.security.JaasConfig`.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use zeroize::Zeroizing;

use crate::Secret;

mod file;

pub use file::{JaasEntry, jaas_property, parse_file};

/// A login module that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginModule {
    /// `org.apache.kafka.common.security.plain.PlainLoginModule`.
    Plain,
    /// `org.apache.kafka.common.security.scram.ScramLoginModule`.
    Scram,
    /// `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule`.
    OAuthBearer,
}

impl LoginModule {
    /// All modules.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Scram, Self::OAuthBearer];

    /// Returns the name of Kafka's class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Plain => "org.apache.kafka.common.security.plain.PlainLoginModule",
            Self::Scram => "org.apache.kafka.common.security.scram.ScramLoginModule",
            Self::OAuthBearer => {
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
            }
        }
    }
}

/// A login module with its options.
#[derive(Debug, Clone)]
pub struct JaasConfig {
    /// The module.
    pub module: LoginModule,
    /// The options. All of them are secrets, because some are passwords.
    pub options: BTreeMap<String, Secret>,
}

impl JaasConfig {
    /// Returns the value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(Secret::expose)
    }

    /// Parses the value of `sasl.jaas.config`.
    ///
    /// # Errors
    /// When the text is not one login module with its options, or names another login module than
    /// those that are built in.
    pub fn parse(text: &str) -> Result<Self, JaasError> {
        let mut tokens = Tokens::new(text);
        let module = match tokens.next()? {
            Token::Word(name) => name,
            Token::End => return Err(JaasError::Empty),
            Token::Quoted(_) | Token::Symbol(_) => return Err(JaasError::NoModule),
        };
        let flag = match tokens.next()? {
            Token::Word(flag) => flag,
            _ => return Err(JaasError::NoFlag),
        };
        let flags = ["required", "requisite", "sufficient", "optional"];
        if !flags.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
            return Err(JaasError::NoFlag);
        }
        let Some(known) = LoginModule::ALL
            .into_iter()
            .find(|known| known.class() == *module)
        else {
            return Err(JaasError::Module(printable(&module)));
        };
        let options = options(&mut tokens)?.into_iter().collect();
        match tokens.next()? {
            Token::End => Ok(Self {
                module: known,
                options,
            }),
            _ => Err(JaasError::Several),
        }
    }
}

/// Reads the options of a login module, and the semicolon after them.
fn options(tokens: &mut Tokens<'_>) -> Result<Vec<(String, Secret)>, JaasError> {
    let mut options = Vec::new();
    loop {
        let key = match tokens.next()? {
            Token::Symbol(';') => return Ok(options),
            Token::Word(key) | Token::Quoted(key) => key.to_string(),
            Token::Symbol(_) => return Err(JaasError::Symbol),
            Token::End => return Err(JaasError::NotTerminated),
        };
        let (Token::Symbol('='), Token::Word(value) | Token::Quoted(value)) =
            (tokens.next()?, tokens.next()?)
        else {
            return Err(JaasError::NoValue(printable(&key)));
        };
        options.push((key, Secret::new(&value)));
    }
}

/// Why a text is not a value of `sasl.jaas.config`. It never contains the value of an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JaasError {
    /// There is no login module.
    #[error("it names no login module")]
    Empty,
    /// The text begins with something else than the name of a login module.
    #[error("it does not begin with the name of a login module")]
    NoModule,
    /// The control flag is missing.
    #[error("the name of the login module is not followed by `required`")]
    NoFlag,
    /// A login module that is not built in.
    #[error("the login module {0} is not supported; {Supported}")]
    Module(String),
    /// An option without a value.
    #[error("the option {0} has no value; write NAME=\"VALUE\"")]
    NoValue(String),
    /// A character that belongs to nothing.
    #[error("a character stands outside of quotes where the name of an option was expected")]
    Symbol,
    /// A quoted text does not end.
    #[error("a quoted value has no closing quote on its line")]
    Unquoted,
    /// The semicolon is missing.
    #[error("it does not end with a semicolon")]
    NotTerminated,
    /// A file is not a list of sections.
    #[error("it is not a list of sections NAME {{ MODULE required OPTION=\"VALUE\" …; }};")]
    Section,
    /// More than one login module.
    #[error("it has text after the semicolon; exactly one login module is allowed")]
    Several,
}

/// Prints the names of the supported modules.
struct Supported;

impl fmt::Display for Supported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "supported are ")?;
        for (i, module) in LoginModule::ALL.into_iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{}", module.class())?;
        }
        Ok(())
    }
}

/// Returns the beginning of a name from the configuration, in a form for error messages.
fn printable(name: &str) -> String {
    name.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

enum Token {
    Word(Zeroizing<String>),
    Quoted(Zeroizing<String>),
    Symbol(char),
    End,
}

struct Tokens<'a> {
    rest: Peekable<Chars<'a>>,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text.chars().peekable(),
        }
    }

    fn next(&mut self) -> Result<Token, JaasError> {
        loop {
            let Some(first) = self.rest.next() else {
                return Ok(Token::End);
            };
            match first {
                _ if first.is_whitespace() || first.is_control() => {}
                '/' => self.skip_comment(),
                '"' | '\'' => return self.quoted(first).map(Token::Quoted),
                _ if is_word(first) => return Ok(Token::Word(self.word(first))),
                _ => return Ok(Token::Symbol(first)),
            }
        }
    }

    /// Skips `// …`, `/* … */` and, like Java's `StreamTokenizer`, everything after a lone slash.
    fn skip_comment(&mut self) {
        if self.rest.next_if_eq(&'*').is_none() {
            while self.rest.next_if(|c| !matches!(c, '\n' | '\r')).is_some() {}
            return;
        }
        let mut before = ' ';
        for c in self.rest.by_ref() {
            if before == '*' && c == '/' {
                return;
            }
            before = c;
        }
    }

    fn word(&mut self, first: char) -> Zeroizing<String> {
        let mut word = Zeroizing::new(String::from(first));
        while let Some(c) = self.rest.next_if(|c| is_word(*c)) {
            word.push(c);
        }
        word
    }

    fn quoted(&mut self, quote: char) -> Result<Zeroizing<String>, JaasError> {
        let mut text = Zeroizing::new(String::new());
        loop {
            match self.rest.next() {
                None | Some('\n' | '\r') => return Err(JaasError::Unquoted),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, JaasError> {
        let c = self.rest.next().ok_or(JaasError::Unquoted)?;
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => self.octal(c),
            other => other,
        })
    }

    /// Reads up to three octal digits, of which `first` was read; the largest number is 255.
    fn octal(&mut self, first: char) -> char {
        let mut number = first.to_digit(8).unwrap_or(0);
        let more = if first <= '3' { 2 } else { 1 };
        for _ in 0..more {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.rest.next();
            number = number * 8 + digit;
        }
        char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '$') || c >= '\u{a0}'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    fn options(text: &str) -> Vec<(String, String)> {
        let config = JaasConfig::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let options = config.options.iter();
        options
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect()
    }

    fn error(text: &str) -> String {
        JaasConfig::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn options_are_read_as_kafka_reads_them() {
        let text = format!(
            "{PLAIN} required\n  username=\"admin\" // the broker's own\n  \
             password='it\\'s \\x41 \\101\\\\' /* users */ user_alice=alice-secret \
             user_bob=\"=;//\";  "
        );
        let pairs = [
            ("password", "it's x41 A\\"),
            ("user_alice", "alice-secret"),
            ("user_bob", "=;//"),
            ("username", "admin"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(options(&text), pairs);
        assert_eq!(options(&format!("{PLAIN} REQUIRED;")), []);
    }

    #[test]
    fn modules_are_recognised_by_kafkas_class_names() {
        for module in LoginModule::ALL {
            let config = JaasConfig::parse(&format!("{} required;", module.class())).unwrap();
            assert_eq!(config.module, module);
        }
    }

    /// CVE-2023-25194: a login module that looks up an address of the attacker's choice.
    #[test]
    fn any_other_login_module_is_refused_by_name() {
        let text = "com.sun.security.auth.module.JndiLoginModule required \
                    user.provider.url=\"ldap://attacker\" password=\"swordfish\";";
        let error = error(text);
        assert!(
            error.starts_with(
                "the login module com.sun.security.auth.module.JndiLoginModule is not supported; \
                 supported are org.apache.kafka.common.security.plain.PlainLoginModule, "
            ),
            "{error}"
        );
        assert!(!error.contains("swordfish") && !error.contains("attacker"));
    }

    /// CVE-2025-27818, CVE-2025-27819: the same with other modules, which Kafka has to name one by
    /// one to refuse them.
    #[test]
    fn login_modules_that_connect_or_run_something_are_refused() {
        for module in [
            "com.sun.security.auth.module.LdapLoginModule",
            "com.sun.security.auth.module.JndiLoginModule",
            "com.sun.security.auth.module.Krb5LoginModule",
            "com.sun.security.auth.module.KeyStoreLoginModule",
            "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule",
            "org.apache.kafka.common.security.plain.plainloginmodule",
            "PlainLoginModule",
        ] {
            let error = error(&format!("{module} required user_alice=\"a\";"));
            let start = format!("the login module {module} is not supported");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn errors_name_what_is_wrong_and_no_value() {
        let cases = [
            ("", "it names no login module"),
            (
                "\"x\" required;",
                "it does not begin with the name of a login module",
            ),
            (
                PLAIN,
                "the name of the login module is not followed by `required`",
            ),
            (
                "X maybe;",
                "the name of the login module is not followed by `required`",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected, "{text}");
        }
        let after = |rest: &str| error(&format!("{PLAIN} required {rest}"));
        assert_eq!(after(""), "it does not end with a semicolon");
        assert_eq!(
            after("password \"swordfish\";"),
            "the option password has no value; write NAME=\"VALUE\""
        );
        assert_eq!(
            after("password=;"),
            "the option password has no value; write NAME=\"VALUE\""
        );
        assert_eq!(
            after("password=\"swordfish;"),
            "a quoted value has no closing quote on its line"
        );
        assert_eq!(
            after("; x required;"),
            "it has text after the semicolon; exactly one login module is allowed"
        );
        assert_eq!(
            after("=\"swordfish\";"),
            "a character stands outside of quotes where the name of an option was expected"
        );
    }

    #[test]
    fn options_are_not_printed() {
        let config = JaasConfig::parse(&format!("{PLAIN} required password=swordfish;")).unwrap();
        assert!(!format!("{config:?}").contains("swordfish"));
    }

    proptest! {
        #[test]
        fn hostile_text_is_an_error_without_a_panic(text in "\\PC*") {
            let _ = JaasConfig::parse(&text);
            let _ = JaasConfig::parse(&format!("{PLAIN} required {text}"));
        }

        #[test]
        fn hostile_tokens_are_an_error_without_a_panic(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("\""), Just("'"), Just("\\"), Just("="), Just(";"), Just("/"), Just("*"),
                    Just("\n"), Just("required"), Just("7"), Just("a"), Just("é"), Just(PLAIN),
                ],
                0..30,
            )
        ) {
            let _ = JaasConfig::parse(&parts.concat());
        }

        #[test]
        fn a_quoted_value_is_read_back(value in "[^\\p{C}]*") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let config = JaasConfig::parse(&format!("{PLAIN} required p=\"{escaped}\";"));
            let config = config.expect("legal");
            prop_assert_eq!(config.option("p"), Some(value.as_str()));
        }
    }
}
