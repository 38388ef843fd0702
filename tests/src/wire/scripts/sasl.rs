//! SaslHandshake and SaslAuthenticate on a listener without SASL. Pure.

use serde_json::{Value, json};

use super::super::script::{Script, around, case, each};

pub(super) fn sasl_handshake() -> Script {
    let request = |mechanism: Value| json!({ "Mechanism": mechanism });
    let cases = || {
        vec![
            case("a mechanism", request(json!("PLAIN"))),
            case("no mechanism of Kafka", request(json!("NONE-SUCH"))),
            case("an empty name", request(json!(""))),
            case("no name", request(Value::Null)),
        ]
    };
    let mut sequences = each("without SASL", 0..=1, &[], |_| cases());
    sequences.extend(around(0..=1, &request(json!("PLAIN"))));
    Script {
        api: "SaslHandshake",
        unordered: &[],
        sequences,
    }
}

pub(super) fn sasl_authenticate() -> Script {
    let request = |bytes: Value| json!({ "AuthBytes": bytes });
    // `\0alice\0secret`, as PLAIN sends it.
    let plain = "00616c69636500736563726574";
    let cases = || {
        vec![
            case("a password", request(json!(plain))),
            case("no bytes", request(json!(""))),
            case("null", request(Value::Null)),
        ]
    };
    let mut sequences = each("without SASL", 0..=2, &[], |_| cases());
    sequences.extend(around(0..=2, &request(json!(plain))));
    Script {
        api: "SaslAuthenticate",
        unordered: &[],
        sequences,
    }
}
