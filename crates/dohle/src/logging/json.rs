//! Members of JSON objects, as text. Pure.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

/// Appends a text to a line as a JSON string.
pub fn push_string(line: &mut String, text: &str) {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // U+2028 and U+2029 end lines for some readers.
            letter if letter.is_control() || "\u{2028}\u{2029}".contains(letter) => {
                let _ = write!(line, "\\u{:04x}", u32::from(letter));
            }
            letter => line.push(letter),
        }
    }
    line.push('"');
}

/// The members that the fields of a line or of a span become: `"name":value,…`. A number that JSON
/// has stays one; what is neither number nor truth value becomes a string.
#[derive(Default)]
pub struct Members {
    /// The members, without the one of `message`.
    pub text: String,
    /// The field `message`.
    pub message: String,
}

impl Members {
    fn push(&mut self, field: &Field, value: impl fmt::Display) {
        self.push_name(field);
        let _ = write!(self.text, "{value}");
    }

    fn push_text(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.push_name(field);
            push_string(&mut self.text, value);
        }
    }

    fn push_name(&mut self, field: &Field) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        // `r#type` is the field `type`.
        let name = field.name();
        push_string(&mut self.text, name.strip_prefix("r#").unwrap_or(name));
        self.text.push(':');
    }
}

impl Visit for Members {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.push(field, value),
            false => self.push_text(field, &value.to_string()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.push_text(field, &value.to_string());
    }

    /// Fields with `%` and `?` arrive here.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push_text(field, &format!("{value:?}"));
    }
}
