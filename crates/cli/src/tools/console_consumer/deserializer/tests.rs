//! What is printed, as Java prints it.

use super::*;

fn text(class: &str, bytes: &[u8]) -> String {
    let deserializer = Deserializer::of_class(class).unwrap();
    match deserializer.text(bytes) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("{error}"),
    }
}

#[test]
fn numbers_are_printed_as_java_does() {
    let long = "org.apache.kafka.common.serialization.LongDeserializer";
    assert_eq!(text(long, &42_i64.to_be_bytes()), "42");
    assert_eq!(
        text(long, b"value1"),
        "Size of data received by LongDeserializer is not 8"
    );
    for (value, expected) in [
        (1.0_f64, "1.0"),
        (0.1, "0.1"),
        (1e7, "1.0E7"),
        (1.5e-5, "1.5E-5"),
        (-123.25, "-123.25"),
        (f64::INFINITY, "Infinity"),
    ] {
        assert_eq!(text("DoubleDeserializer", &value.to_be_bytes()), expected);
    }
    assert_eq!(text("FloatDeserializer", &0.1_f32.to_be_bytes()), "0.1");
    assert_eq!(text("BooleanDeserializer", &[1]), "true");
}

#[test]
fn other_classes_are_refused_with_those_that_there_are() {
    let error = Deserializer::of_class("no.such.Class")
        .unwrap_err()
        .to_string();
    assert!(error.contains("no.such.Class is a Java class"), "{error}");
    assert!(error.contains("StringDeserializer"), "{error}");
}
