//! The messages of SCRAM (RFC 5802, section 7), with Kafka's limits: no channel binding, and names
//! in ASCII.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) struct ClientFirst {
    /// Everything before `bare`: `n,,` or `n,a=NAME,`.
    pub gs2_header: String,
    /// The message without its header.
    pub bare: String,
    /// The authorization id, if there is one.
    pub authorization_id: Option<String>,
    pub user: String,
    pub nonce: String,
    /// Whether the user is the id of a delegation token (`tokenauth=true`, KIP-48).
    pub is_token: bool,
}

/// The first message of a server.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) struct ServerFirst {
    pub nonce: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

/// The final message of a client.
pub(in crate::sasl) struct ClientFinal {
    /// The message without the proof.
    pub without_proof: String,
    pub channel_binding: Vec<u8>,
    pub nonce: String,
    pub proof: Vec<u8>,
}

/// What is wrong with a message.
pub(in crate::sasl) type Malformed = &'static str;

fn text(message: &[u8]) -> Result<&str, Malformed> {
    if !message.is_ascii() || message.contains(&0) {
        return Err("it has a byte that is not ASCII");
    }
    str::from_utf8(message).map_err(|_| "it is not UTF-8")
}

/// Returns the value of the attribute `name` in `part`.
fn attribute<'a>(
    part: Option<&'a str>,
    name: &str,
    missing: Malformed,
) -> Result<&'a str, Malformed> {
    let value = part.and_then(|part| part.strip_prefix(name)?.strip_prefix('='));
    value.filter(|value| !value.is_empty()).ok_or(missing)
}

/// Replaces the characters that a name must not contain.
pub(in crate::sasl) fn escape_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape_name(name: &str) -> Result<String, Malformed> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err("a name has an equals sign that is not =2C or =3D"),
        };
        plain.push(c);
        plain.push_str(rest);
    }
    Ok(plain)
}

fn check_nonce(nonce: &str) -> Result<&str, Malformed> {
    if nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(nonce)
    } else {
        Err("the nonce has a character that is not printable")
    }
}

/// Checks an extension: `LETTERS=VALUE`.
fn extension(part: &str) -> Result<(&str, &str), Malformed> {
    part.split_once('=')
        .filter(|(name, value)| {
            let is_name = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphabetic());
            is_name && !value.is_empty()
        })
        .ok_or("an extension is not NAME=VALUE")
}

fn base64(value: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD
        .decode(value)
        .map_err(|_| "a value is not in base64")
}

impl ClientFirst {
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let message = text(message)?;
        let mut parts = message.split(',');
        if parts.next() != Some("n") {
            return Err("it does not begin with n, for no channel binding");
        }
        let authorization_id = match parts.next() {
            Some("") => None,
            part => {
                let name = attribute(part, "a", "the authorization id is not a=NAME")?;
                Some(unescape_name(name)?)
            }
        };
        let header = 2 + message[2..].find(',').ok_or("it ends after its header")? + 1;
        let (gs2_header, bare) = message.split_at(header);
        let mut part = parts.next();
        if part.is_some_and(|part| part.starts_with("m=")) {
            // RFC 5802: an extension that the server does not know must be refused.
            return Err("it has a mandatory extension");
        }
        let user = unescape_name(attribute(part, "n", "it has no user")?)?;
        part = parts.next();
        let nonce = check_nonce(attribute(part, "r", "it has no nonce")?)?;
        let mut is_token = false;
        for part in parts {
            let (name, value) = extension(part)?;
            is_token |= name == "tokenauth" && value.eq_ignore_ascii_case("true");
        }
        Ok(Self {
            gs2_header: gs2_header.to_owned(),
            bare: bare.to_owned(),
            authorization_id,
            user,
            nonce: nonce.to_owned(),
            is_token,
        })
    }
}

impl ServerFirst {
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let mut parts = text(message)?.split(',');
        let first = parts.next();
        if first.is_some_and(|part| part.starts_with("m=")) {
            return Err("it has a mandatory extension");
        }
        let nonce = check_nonce(attribute(first, "r", "it has no nonce")?)?;
        let salt = base64(attribute(parts.next(), "s", "it has no salt")?)?;
        let iterations = attribute(parts.next(), "i", "it has no number of iterations")?;
        let digits = iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations = iterations.parse().ok().filter(|count| digits && *count > 0);
        for part in parts {
            extension(part)?;
        }
        Ok(Self {
            nonce: nonce.to_owned(),
            salt,
            iterations: iterations.ok_or("the number of iterations is not a number")?,
        })
    }

    pub fn encode(&self) -> String {
        let salt = STANDARD.encode(&self.salt);
        format!("r={},s={salt},i={}", self.nonce, self.iterations)
    }
}

impl ClientFinal {
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or("it has no proof")?;
        let mut parts = without_proof.split(',');
        let binding = attribute(parts.next(), "c", "it has no channel binding")?;
        let nonce = check_nonce(attribute(parts.next(), "r", "it has no nonce")?)?;
        for part in parts {
            extension(part)?;
        }
        Ok(Self {
            channel_binding: base64(binding)?,
            nonce: nonce.to_owned(),
            proof: base64(proof)?,
            without_proof: without_proof.to_owned(),
        })
    }
}

/// Returns the final message of a server that has authenticated its client.
pub(in crate::sasl) fn server_final(signature: &[u8]) -> Vec<u8> {
    format!("v={}", STANDARD.encode(signature)).into_bytes()
}

/// Returns the signature in the final message of a server, or its error.
pub(in crate::sasl) fn parse_server_final(
    message: &[u8],
) -> Result<Result<Vec<u8>, String>, Malformed> {
    let mut parts = text(message)?.split(',');
    let first = parts.next();
    let verdict = match attribute(first, "e", "") {
        Ok(error) => Err(error.to_owned()),
        Err(_) => Ok(base64(attribute(first, "v", "it has no signature")?)?),
    };
    for part in parts {
        extension(part)?;
    }
    Ok(verdict)
}

/// Returns `AuthMessage`, which both sides sign.
pub(in crate::sasl) fn auth_message(
    first_bare: &str,
    server_first: &str,
    without_proof: &str,
) -> String {
    format!("{first_bare},{server_first},{without_proof}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_message_of_a_client_is_parsed() {
        let message = b"n,a=u=2Cx=3D,n=u=2Cx=3D,r=abc,tokenauth=true,other=1";
        let first = ClientFirst::parse(message).unwrap();
        assert_eq!(first.gs2_header, "n,a=u=2Cx=3D,");
        assert_eq!(first.bare, "n=u=2Cx=3D,r=abc,tokenauth=true,other=1");
        assert_eq!(first.authorization_id.as_deref(), Some("u,x="));
        assert_eq!((first.user.as_str(), first.nonce.as_str()), ("u,x=", "abc"));
        assert!(first.is_token);
        let plain = ClientFirst::parse(b"n,,n=user,r=abc").unwrap();
        assert_eq!((plain.gs2_header.as_str(), plain.is_token), ("n,,", false));
    }

    #[test]
    fn malformed_first_messages_are_refused() {
        for message in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=",
            "n,,n=u",
            "n,,n=u,",
            "n,,n=u,r=",
            "y,,n=u,r=a",
            "p=tls-unique,,n=u,r=a",
            "n,b=u,n=u,r=a",
            "n,a=,n=u,r=a",
            "n,,n=u=,r=a",
            "n,,n=u=2c,r=a",
            "n,,n=u,r=a b",
            "n,,n=u,r=a,x",
            "n,,n=u,r=a,1=2",
            "n,,n=u,r=a,x=",
            "n,,m=x,n=u,r=a",
            "n,,r=a,n=u",
            "n,,n=ü,r=a",
            "n,,n=u\0,r=a",
        ] {
            assert!(
                ClientFirst::parse(message.as_bytes()).is_err(),
                "{message:?}"
            );
        }
    }

    #[test]
    fn malformed_final_messages_are_refused() {
        assert!(ClientFinal::parse(b"c=biws,r=abc,p=AAAA").is_ok());
        for message in [
            "",
            "c=biws",
            "c=biws,r=abc",
            "c=biws,r=abc,p=A",
            "c=b,r=abc,p=AAAA",
            "r=abc,p=AAAA",
            "c=biws,p=AAAA",
            "c=biws,r=abc,x,p=AAAA",
            "c=biws,r=,p=AAAA",
        ] {
            assert!(
                ClientFinal::parse(message.as_bytes()).is_err(),
                "{message:?}"
            );
        }
        for message in [
            "",
            "r=a",
            "r=a,s=AAAA",
            "r=a,s=AAAA,i=",
            "r=a,s=AAAA,i=0",
            "r=a,s=AAAA,i=+1",
        ] {
            assert!(
                ServerFirst::parse(message.as_bytes()).is_err(),
                "{message:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_without_a_panic(message: Vec<u8>) {
            let _ = ClientFirst::parse(&message);
            let _ = ClientFinal::parse(&message);
            let _ = ServerFirst::parse(&message);
            let _ = parse_server_final(&message);
        }

        #[test]
        fn hostile_text_is_an_error_without_a_panic(message in "[nmarscvpei=,+/A-D0-9]{0,60}") {
            let _ = ClientFirst::parse(message.as_bytes());
            let _ = ClientFinal::parse(message.as_bytes());
            let _ = ServerFirst::parse(message.as_bytes());
            let _ = parse_server_final(message.as_bytes());
        }

        #[test]
        fn names_survive_their_escaping(name in "[\\x01-\\x7f]{1,20}") {
            let escaped = escape_name(&name);
            prop_assert!(!escaped.contains(','));
            prop_assert_eq!(unescape_name(&escaped), Ok(name));
        }
    }
}
