//! The first message of a client (RFC 7628, section 3.1).

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    pub authorization_id: Option<String>,
    pub token: &'a str,
}

const SEPARATOR: char = '\u{1}';

impl<'a> ClientFirst<'a> {
    /// Parses `n,[a=NAME],^Aauth=Bearer TOKEN^A[NAME=VALUE^A…]^A`. Extensions are checked, and
    /// ignored.
    pub fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        let text = str::from_utf8(message).map_err(|_| "it is not UTF-8")?;
        let (header, rest) = text.split_once(SEPARATOR).ok_or("it has no separator")?;
        let header = header
            .strip_prefix("n,")
            .and_then(|header| header.strip_suffix(','))
            .ok_or("its header is not n,,")?;
        let authorization_id = match header {
            "" => None,
            name => {
                let name = name.strip_prefix("a=").filter(|name| !name.is_empty());
                let name = name.ok_or("the authorization id is not a=NAME")?;
                if name.contains(',') {
                    return Err("the authorization id has a comma");
                }
                Some(name.replace("=2C", ",").replace("=3D", "="))
            }
        };
        let pairs = rest.strip_suffix("\u{1}\u{1}").ok_or("it does not end")?;
        let mut token = None;
        for pair in pairs.split(SEPARATOR) {
            let (name, value) = pair.split_once('=').ok_or("a part is not NAME=VALUE")?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err("the name of a part has other characters than letters");
            }
            if value.is_empty() || !value.bytes().all(is_value) {
                return Err("the value of a part is not printable");
            }
            if name == "auth" && token.replace(bearer(value)?).is_some() {
                return Err("it has two tokens");
            }
        }
        Ok(Self {
            authorization_id,
            token: token.ok_or("it has no token")?,
        })
    }
}

fn is_value(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn bearer(value: &str) -> Result<&str, &'static str> {
    let (scheme, token) = value.split_once(' ').ok_or("it has no token")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the scheme is not Bearer");
    }
    let token = token.trim_start_matches(' ');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~+/.=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_token) {
        return Err("the token has a character that tokens do not have");
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_message_of_a_client_is_parsed() {
        let first = ClientFirst::parse(b"n,,\x01auth=Bearer a.b.c\x01\x01").unwrap();
        assert_eq!((first.authorization_id, first.token), (None, "a.b.c"));
        let message = b"n,a=u=2Cx,\x01host=h\x01auth=bearer  a.b.c=\x01port=1\x01\x01";
        let first = ClientFirst::parse(message).unwrap();
        assert_eq!(first.authorization_id.as_deref(), Some("u,x"));
        assert_eq!(first.token, "a.b.c=");
    }

    #[test]
    fn malformed_messages_are_refused() {
        for message in [
            "",
            "n,,",
            "n,,\u{1}\u{1}",
            "y,,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t\u{1}",
            "n,,\u{1}auth=Basic t\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer\u{1}\u{1}",
            "n,,\u{1}host=h\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}1=x\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t,t\u{1}\u{1}",
        ] {
            assert!(
                ClientFirst::parse(message.as_bytes()).is_err(),
                "{message:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_without_a_panic(message: Vec<u8>) {
            let _ = ClientFirst::parse(&message);
        }

        #[test]
        fn hostile_text_is_an_error_without_a_panic(text in "[na,=\u{1}Bearuth ]{0,40}") {
            let _ = ClientFirst::parse(text.as_bytes());
        }
    }
}
