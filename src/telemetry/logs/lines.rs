//! One line of the log, as text or as JSON; which of them may change while the program runs.
//!
//! The file says how its log looks, and reading the file is logged already.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{self, Format, Full, Json, Writer},
    },
    registry::LookupSpan,
};

pub(super) struct Lines {
    json: Arc<AtomicBool>,
    as_json: Format<Json>,
    as_text: Format<Full>,
}

impl Lines {
    pub(super) fn new(json: Arc<AtomicBool>) -> Self {
        // Spans are none of ours; those of libraries would need their fields in either format.
        let as_json = format::format().json().flatten_event(true);
        Self {
            json,
            as_json: as_json.with_current_span(false).with_span_list(false),
            as_text: format::format(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.json.load(Relaxed) {
            self.as_json.format_event(context, writer, event)
        } else {
            self.as_text.format_event(context, writer, event)
        }
    }
}
