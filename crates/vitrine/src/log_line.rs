//! One line of JSON for each event of the log.
//!
//! What tracing-subscriber has for this goes through a serializer and a check of every text; there is a line for every
//! request, and that was an eighth of what a short one cost.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Time, level, the event's own fields and its target, in one object.
pub(crate) struct LogLine;

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // What a library said by the crate `log` comes as an event of that name, and says what it is in its fields.
        let said = event.normalized_metadata();
        let metadata = said.as_ref().unwrap_or_else(|| event.metadata());
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(metadata.level().as_str())?;
        writer.write_char('"')?;
        let mut fields = Fields { line: &mut writer, written: Ok(()) };
        event.record(&mut fields);
        fields.written?;
        writer.write_str(",\"target\":")?;
        quote(&mut writer, metadata.target())?;
        writer.write_str("}\n")
    }
}

/// So begin the fields in which the crate `log` says what is known from the metadata.
const OF_LOG: &str = "log.";

/// Writes one field after another.
struct Fields<'a, W> {
    line: &'a mut W,
    /// Recording fields knows no errors.
    written: fmt::Result,
}

impl<W: Write> Fields<'_, W> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) {
        if self.written.is_ok() && !field.name().starts_with(OF_LOG) {
            self.written = (|| {
                self.line.write_char(',')?;
                quote(self.line, field.name())?;
                self.line.write_char(':')?;
                value(self.line)
            })();
        }
    }
}

impl<W: Write> Visit for Fields<'_, W> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |line| quote(line, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others.
        self.field(
            field,
            |line| {
                if value.is_finite() { write!(line, "{value}") } else { line.write_str("null") }
            },
        );
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |line| {
            line.write_char('"')?;
            write!(Escaped(line), "{value:?}")?;
            line.write_char('"')
        });
    }
}

fn quote(line: &mut impl Write, text: &str) -> fmt::Result {
    line.write_char('"')?;
    Escaped(line).write_str(text)?;
    line.write_char('"')
}

/// Writes what stands between the quotation marks of a JSON string.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        while let Some((at, byte)) = text.bytes().enumerate().find(|(_, byte)| is_special(*byte)) {
            // All of these are one byte, so that both sides are text.
            let (before, rest) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            self.0.write_str(before)?;
            match byte {
                b'"' | b'\\' => write!(self.0, "\\{}", char::from(byte))?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                control => write!(self.0, "\\u{control:04x}")?,
            }
            text = rest;
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Seek},
        sync::Arc,
    };

    use serde_json::Value;
    use tracing_log::log::{Level, Record};
    use tracing_subscriber::layer::SubscriberExt;

    use super::{LogLine, OF_LOG};

    fn lines(mut written: &File) -> Vec<Value> {
        let mut text = String::new();
        written.rewind().unwrap();
        written.read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_fields_and_values_that_tracing_itself_would_write() {
        let [ours, theirs] = [(); 2].map(|()| Arc::new(tempfile::tempfile().unwrap()));
        let json = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
        let subscriber = tracing_subscriber::registry()
            .with(tracing_subscriber::fmt::layer().event_format(LogLine).with_writer(Arc::clone(&ours)))
            .with(json.with_span_list(false).with_writer(Arc::clone(&theirs)));
        tracing::subscriber::with_default(subscriber, || {
            let hostile = "\"quoted\" \\ \n\r\t\u{0}\u{1b}[31m\u{7f} é 🦀 \u{2028}";
            tracing::info!(target: "vitrine::request", hostile, none = None::<&str>, "answered");
            tracing::warn!(
                whole = 18_446_744_073_709_551_615_u64,
                less = -3_i64,
                is = true,
                half = 0.5,
                "{hostile}"
            );
            tracing::error!(error = %hostile, shown = ?hostile, nowhere = f64::NAN, far = 1e300, near = 1e-9);
            let said = format_args!("by a library");
            let record =
                Record::builder().level(Level::Warn).target("library").line(Some(7)).args(said).build();
            tracing_log::format_trace(&record).unwrap();
        });
        let (ours, theirs) = (lines(&ours), lines(&theirs));
        assert_eq!(ours.len(), 4);
        for (mut our, mut their) in ours.into_iter().zip(theirs) {
            for line in [&mut our, &mut their] {
                let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
                assert!(time.as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{time}");
            }
            // It says twice what `log` knows.
            their.as_object_mut().unwrap().retain(|name, _| !name.starts_with(OF_LOG));
            assert_eq!(our, their);
        }
    }
}
