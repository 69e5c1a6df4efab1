//! Where people look for what a program says.
//!
//! A service's standard error goes nowhere on macOS. There this module writes to the unified log, with the bundle's
//! identifier as the subsystem and the module as the category: `log stream --predicate 'subsystem ==
//! "com.example.demo.greeter"'` shows it, with `--level debug` all of it. Panics in handlers, and any panic of a service,
//! are there as well, before the process ends. Elsewhere it writes to standard error, which the app's launcher forwards
//! with the service's name.
//!
//! With the feature `log`, `init_log` has the `log` crate's macros write here; with the feature `tracing`, `Layer` is
//! a layer for `tracing-subscriber`.

use crate::backend;

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be; the unified log's default level.
    Warn,
    /// What one wants to know while looking for something; the unified log keeps it for a while only.
    Info,
    /// What one wants to know while looking for a bug; the unified log shows it only to those who ask.
    Debug,
}

/// Writes a text of any length.
#[doc(alias = "os_log")]
pub fn write(level: Level, category: &str, text: &str) {
    backend::log::write(level, category, text);
}

#[cfg(feature = "log")]
mod log_crate {
    use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};

    use super::{Level, write};

    impl From<log::Level> for Level {
        fn from(level: log::Level) -> Self {
            match level {
                log::Level::Error => Self::Error,
                log::Level::Warn => Self::Warn,
                log::Level::Info => Self::Info,
                log::Level::Debug | log::Level::Trace => Self::Debug,
            }
        }
    }

    struct Logger;

    impl Log for Logger {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= log::max_level()
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                write(record.level().into(), record.target(), &record.args().to_string());
            }
        }

        fn flush(&self) {}
    }

    /// Has the macros of the `log` crate write here, up to this level. The category is the record's target, which is
    /// its module where nothing else is said.
    ///
    /// # Errors
    /// There is a logger already.
    pub fn init_log(max: LevelFilter) -> Result<(), SetLoggerError> {
        log::set_logger(&Logger)?;
        log::set_max_level(max);
        Ok(())
    }
}

#[cfg(feature = "log")]
pub use self::log_crate::init_log;

#[cfg(feature = "tracing")]
mod tracing_layer {
    use std::fmt::{Debug, Write as _};

    use tracing_core::field::{Field, Visit};
    use tracing_core::{Event, Subscriber};
    use tracing_subscriber::layer::Context;
    use tracing_subscriber::registry::LookupSpan;

    use super::{Level, write};

    impl From<tracing_core::Level> for Level {
        fn from(level: tracing_core::Level) -> Self {
            match level {
                tracing_core::Level::ERROR => Self::Error,
                tracing_core::Level::WARN => Self::Warn,
                tracing_core::Level::INFO => Self::Info,
                _ => Self::Debug,
            }
        }
    }

    /// Writes `tracing`'s events here: the names of the spans that they are in, the message, and the other fields. The
    /// category is the event's target, which is its module where nothing else is said.
    ///
    /// ```
    /// use tracing_subscriber::prelude::*;
    ///
    /// tracing_subscriber::registry().with(xpc_runtime::logging::Layer).init();
    /// ```
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Layer;

    impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
        fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
            let mut text = Text::default();
            event.record(&mut text);
            let mut line = String::new();
            for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
                line += span.name();
                line += ": ";
            }
            line += &text.message;
            line += &text.fields;
            write((*event.metadata().level()).into(), event.metadata().target(), line.trim_end());
        }
    }

    #[derive(Default)]
    struct Text {
        message: String,
        fields: String,
    }

    impl Visit for Text {
        fn record_str(&mut self, field: &Field, value: &str) {
            if field.name() == "message" {
                self.message += value;
            } else {
                let _ = write!(self.fields, " {}={value:?}", field.name());
            }
        }

        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            let _ = match field.name() {
                "message" => write!(self.message, "{value:?}"),
                name => write!(self.fields, " {name}={value:?}"),
            };
        }
    }
}

#[cfg(feature = "tracing")]
pub use self::tracing_layer::Layer;
