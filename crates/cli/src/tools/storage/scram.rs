//! `--add-scram`: the credentials of the first users of a cluster.
//!
//! `SCRAM-SHA-256=[name=alice,password=secret,iterations=8192]`, also with `salt` and
//! `saltedpassword` in base64. Source: `org.apache.kafka.metadata.storage.ScramParser`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dohle_auth::sasl::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, credential, salted_password};
use dohle_model::scram::ScramMechanism;

use crate::host::NewUser;

/// Reads the value of an option. `salt` is fresh randomness.
pub fn parse(text: &str, salt: [u8; SALT_BYTES]) -> anyhow::Result<NewUser> {
    let Some((mechanism, values)) = text.trim().split_once('=') else {
        bail!("Failed to find equals sign in SCRAM argument");
    };
    let Some(mechanism) = ScramMechanism::from_name(mechanism) else {
        bail!("The add-scram mechanism {mechanism} is not supported.");
    };
    let Some(values) = values.strip_prefix('[') else {
        bail!("Expected configuration string to start with [");
    };
    let Some(values) = values.strip_suffix(']') else {
        bail!("Expected configuration string to end with ]");
    };
    let mut given = BTreeMap::new();
    for part in values.split(',') {
        let Some((name, value)) = part.split_once('=') else {
            bail!("No equals sign found in a SCRAM component");
        };
        let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        given.insert(name, quoted.unwrap_or(value));
    }
    let Some(name) = given.remove("name") else {
        bail!("You must supply 'name' to add-scram");
    };
    let base64 = |value: &str, what: &str| {
        let decoded = STANDARD.decode(value);
        decoded.map_err(|_| anyhow::anyhow!("Failed to decode given {what}"))
    };
    let given_salt = given.remove("salt");
    let given_salt = given_salt.map(|text| base64(text, "salt")).transpose()?;
    let iterations = iterations(mechanism, given.remove("iterations"))?;
    let (password, salted) = (given.remove("password"), given.remove("saltedpassword"));
    if !given.is_empty() {
        let names: Vec<&str> = given.into_keys().collect();
        bail!("Unknown SCRAM configurations: {}", names.join(", "));
    }
    let has_salt = given_salt.is_some();
    let salt = given_salt.unwrap_or_else(|| salt.to_vec());
    let salted = match (password, salted) {
        (Some(password), _) => salted_password(mechanism, password, &salt, iterations).to_vec(),
        (None, Some(salted)) if has_salt => base64(salted, "saltedPassword")?,
        (None, Some(_)) => bail!("You must supply 'salt' with 'saltedpassword' to add-scram"),
        (None, None) => {
            bail!("You must supply one of 'password' or 'saltedpassword' to add-scram")
        }
    };
    Ok(NewUser {
        name: name.into(),
        mechanism,
        credential: credential(mechanism, &salted, &salt, iterations.get()),
    })
}

fn iterations(mechanism: ScramMechanism, text: Option<&str>) -> anyhow::Result<NonZeroU32> {
    let Some(text) = text else {
        return Ok(NonZeroU32::new(ITERATIONS_MIN).unwrap_or(NonZeroU32::MIN));
    };
    let Ok(number) = text.parse::<i32>() else {
        bail!("Failed to parse iterations count: {text}");
    };
    let number = u32::try_from(number).unwrap_or(0);
    if number < ITERATIONS_MIN {
        bail!("The 'iterations' value must be >= {ITERATIONS_MIN} for add-scram using {mechanism}");
    }
    if number > ITERATIONS_MAX {
        bail!("The 'iterations' value must be <= {ITERATIONS_MAX} for add-scram using {mechanism}");
    }
    Ok(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    fn refused(text: &str) -> String {
        let error = parse(text, SALT).unwrap_err().to_string();
        assert!(!error.contains("swordfish"), "{error}");
        error
    }

    #[test]
    fn a_credential_is_derived_from_the_password() {
        let text = "SCRAM-SHA-256=[name=alice,password=\"swordfish\",iterations=8192]";
        let user = parse(text, SALT).unwrap();
        assert_eq!(
            (&*user.name, user.mechanism),
            ("alice", ScramMechanism::Sha256)
        );
        assert_eq!(
            (&*user.credential.salt, user.credential.iterations),
            (&SALT[..], 8192)
        );
        let iterations = NonZeroU32::new(8192).unwrap();
        let salted = salted_password(ScramMechanism::Sha256, "swordfish", &SALT, iterations);
        let same = format!(
            "SCRAM-SHA-256=[name=alice,salt={},saltedpassword={},iterations=8192]",
            STANDARD.encode(SALT),
            STANDARD.encode(&salted)
        );
        let same = parse(&same, [0; SALT_BYTES]).unwrap();
        assert!(same.credential == user.credential);
        let default = parse("SCRAM-SHA-512=[name=bob,password=x]", SALT).unwrap();
        assert_eq!(default.credential.iterations, 4096);
        assert_eq!(default.credential.stored_key.len(), 64);
    }

    #[test]
    fn mistakes_are_refused_with_kafkas_messages_and_without_the_password() {
        for (text, message) in [
            ("swordfish", "Failed to find equals sign in SCRAM argument"),
            (
                "SCRAM-SHA-1=[]",
                "The add-scram mechanism SCRAM-SHA-1 is not supported.",
            ),
            (
                "SCRAM-SHA-256=name=a,password=swordfish",
                "Expected configuration string to start with [",
            ),
            (
                "SCRAM-SHA-256=[name=a,password=swordfish",
                "Expected configuration string to end with ]",
            ),
            (
                "SCRAM-SHA-256=[password=swordfish]",
                "You must supply 'name' to add-scram",
            ),
            (
                "SCRAM-SHA-256=[name=a]",
                "You must supply one of 'password' or 'saltedpassword' to add-scram",
            ),
            (
                "SCRAM-SHA-256=[name=a,saltedpassword=AAAA]",
                "You must supply 'salt' with 'saltedpassword' to add-scram",
            ),
            (
                "SCRAM-SHA-256=[name=a,password=swordfish,iterations=4095]",
                "The 'iterations' value must be >= 4096 for add-scram using SCRAM-SHA-256",
            ),
            (
                "SCRAM-SHA-256=[name=a,password=swordfish,iterations=16385]",
                "The 'iterations' value must be <= 16384 for add-scram using SCRAM-SHA-256",
            ),
            (
                "SCRAM-SHA-256=[name=a,password=swordfish,colour=red]",
                "Unknown SCRAM configurations: colour",
            ),
            (
                "SCRAM-SHA-256=[name=a,password=x,swordfish]",
                "No equals sign found in a SCRAM component",
            ),
            (
                "SCRAM-SHA-256=[name=a,password=swordfish,salt=?]",
                "Failed to decode given salt",
            ),
        ] {
            assert_eq!(refused(text), message, "{text}");
        }
    }
}
