//! The formats of log lines: text, or one JSON object a line.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dohle_config::LogFormat;
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{Compact, DefaultFields, Format, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::json::{Members, push_string};

/// The format of the lines, which is text at first. Each copy is the same switch.
#[derive(Clone, Default)]
pub struct FormatSwitch(Arc<AtomicBool>);

impl FormatSwitch {
    /// Chooses the format of the lines that are written from now on.
    pub fn set(&self, format: LogFormat) {
        self.0.store(format == LogFormat::Json, Ordering::Relaxed);
    }

    fn is_json(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes the fields of spans, and in text those of lines.
///
/// The fields of a span are written when it begins. Spans that begin before the format is chosen
/// would keep the other one; a program has none by then.
pub struct FieldFormat(FormatSwitch);

impl FieldFormat {
    /// Creates the format of a switch.
    pub fn new(switch: &FormatSwitch) -> Self {
        Self(switch.clone())
    }
}

impl<'w> FormatFields<'w> for FieldFormat {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        if !self.0.is_json() {
            return DefaultFields::new().format_fields(writer, fields);
        }
        let mut members = Members::default();
        fields.record(&mut members);
        writer.write_str(&members.text)
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        if !current.fields.is_empty() {
            current
                .fields
                .push(if self.0.is_json() { ',' } else { ' ' });
        }
        self.format_fields(current.as_writer(), fields)
    }
}

/// Writes lines.
pub struct LineFormat {
    switch: FormatSwitch,
    text: Format<Compact, SystemTime>,
}

impl LineFormat {
    /// Creates the format of a switch.
    pub fn new(switch: &FormatSwitch) -> Self {
        let text = tracing_subscriber::fmt::format().compact();
        Self {
            switch: switch.clone(),
            text: text.with_timer(SystemTime).with_target(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if !self.switch.is_json() {
            return self.text.format_event(context, writer, event);
        }
        let line = json_line(context, event)?;
        writer.write_str(&line)
    }
}

/// Returns a line as a JSON object, with the end of the line.
fn json_line<S, N>(context: &FmtContext<'_, S, N>, event: &Event<'_>) -> Result<String, fmt::Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut members = Members::default();
    event.record(&mut members);
    let mut line = r#"{"timestamp":""#.to_owned();
    SystemTime.format_time(&mut Writer::new(&mut line))?;
    line += r#"","level":""#;
    line += event.metadata().level().as_str();
    line += r#"","target":"#;
    push_string(&mut line, event.metadata().target());
    line += r#","message":"#;
    push_string(&mut line, &members.message);
    line += r#","fields":{"#;
    line += &members.text;
    line += "}";
    if let Some(spans) = context.event_scope() {
        let mut before = r#","spans":["#;
        for span in spans.from_root() {
            line += before;
            line += r#"{"name":"#;
            push_string(&mut line, span.name());
            line += r#","fields":{"#;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line += &fields.fields;
            }
            line += "}}";
            before = ",";
        }
        line += "]";
    }
    line += "}\n";
    Ok(line)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing_subscriber::EnvFilter;

    use super::super::tests::Lines;
    use super::*;

    /// Returns what is written in a format by `log`, which may change it.
    fn written(format: LogFormat, log: impl FnOnce(&FormatSwitch)) -> String {
        let (lines, switch) = (Lines::default(), FormatSwitch::default());
        switch.set(format);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(FieldFormat::new(&switch))
            .event_format(LineFormat::new(&switch))
            .with_writer(lines.clone())
            .with_env_filter(EnvFilter::new("debug"))
            .finish();
        tracing::subscriber::with_default(subscriber, || log(&switch));
        lines.take()
    }

    /// Reads lines of JSON. Checks their timestamps, and removes them.
    #[track_caller]
    fn objects(lines: &str) -> Vec<Value> {
        let object = |line: &str| {
            let mut object: Value = serde_json::from_str(line).expect(line);
            let members = object.as_object_mut().unwrap();
            let timestamp = members.remove("timestamp").unwrap();
            let timestamp = timestamp.as_str().unwrap();
            let shape: String = timestamp
                .chars()
                .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
                .collect();
            assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{timestamp}");
            object
        };
        assert!(lines.ends_with('\n'), "{lines:?}");
        lines.lines().map(object).collect()
    }

    #[test]
    fn a_line_is_one_object_with_its_fields_by_type() {
        let lines = written(LogFormat::Json, |_| {
            let error = std::io::Error::other("no \"space\"");
            tracing::info!(
                target: "dohle_log::log",
                partition = %"t-0", offset = -7_i64, size = u64::MAX, share = 0.5,
                infinite = f64::INFINITY, is_new = true, name = "a\tb", list = ?[1, 2], r#type = 1,
                error = &error as &dyn std::error::Error,
                "rolled {}", 3
            );
            tracing::warn!(target: "dohle", only = 1);
            tracing::debug!("");
        });
        let fields = json!({
            "partition": "t-0", "offset": -7, "size": u64::MAX, "share": 0.5, "infinite": "inf",
            "is_new": true, "name": "a\tb", "list": "[1, 2]", "type": 1, "error": "no \"space\""
        });
        let line = |level: &str, target: &str, message: &str, fields: Value| {
            let text = json!({"level": level, "target": target, "message": message});
            let mut line = text.as_object().unwrap().clone();
            line.insert("fields".to_owned(), fields);
            Value::Object(line)
        };
        assert_eq!(
            objects(&lines),
            [
                line("INFO", "dohle_log::log", "rolled 3", fields),
                line("WARN", "dohle", "", json!({"only": 1})),
                line("DEBUG", module_path!(), "", json!({})),
            ]
        );
    }

    #[test]
    fn no_text_breaks_a_line_or_leaves_its_string() {
        let texts = [
            "two\nlines\r\n",
            "\"}{\\",
            "\u{0}\u{1b}[31m\u{7f}\u{85}\u{2028}\u{2029}",
            "Dohle Ü 🐦",
        ];
        for text in texts {
            let lines = written(LogFormat::Json, |_| tracing::info!(text, "{text}"));
            assert_eq!(lines.lines().count(), 1, "{lines:?}");
            assert!(!lines.trim_end().contains(char::is_control), "{lines:?}");
            let object = objects(&lines).remove(0);
            assert_eq!(object["message"], text);
            assert_eq!(object["fields"]["text"], text);
        }
    }

    #[test]
    fn fields_of_spans_are_written_from_the_outermost() {
        let lines = written(LogFormat::Json, |_| {
            let outer = tracing::info_span!("outer", node = 1, late = tracing::field::Empty);
            outer.record("late", "yes");
            let _outer = outer.entered();
            let _inner = tracing::info_span!("inner").entered();
            tracing::info!("inside");
        });
        assert_eq!(
            objects(&lines)[0]["spans"],
            json!([
                {"name": "outer", "fields": {"node": 1, "late": "yes"}},
                {"name": "inner", "fields": {}}
            ])
        );
    }

    #[test]
    fn the_format_changes_at_once() {
        let lines = written(LogFormat::Text, |format| {
            let span = tracing::info_span!("span", node = 1);
            span.in_scope(|| tracing::info!(partition = %"t-0", "in text"));
            format.set(LogFormat::Json);
            tracing::info!("in JSON");
        });
        let (text, json) = lines.split_once('\n').unwrap();
        let (_, text) = text.split_once(' ').unwrap();
        assert_eq!(text.trim_start(), "INFO span: in text partition=t-0 node=1");
        assert_eq!(objects(json)[0]["message"], "in JSON");
    }
}
