use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use super::*;

/// Keeps what is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("logs are UTF-8")
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn json_lines_are_flat_objects() {
    let text = capture(Format::Json, "info", || tracing::info!(count = 3, "hello"));
    let line: serde_json::Value = serde_json::from_str(&text).expect("one object");
    assert_eq!(line["message"], "hello");
    assert_eq!(line["count"], 3);
    assert_eq!(line["level"], "INFO");
}

#[test]
fn the_filter_decides() {
    let text = capture(Format::Text, "warn", || {
        tracing::info!("quiet");
        tracing::warn!("loud");
    });
    assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
}

#[test]
fn a_filter_that_cannot_be_read_is_named() {
    let error = parse("bearerd=verbose").expect_err("there is no such level");
    assert!(error.to_string().contains("bearerd=verbose"), "{error}");
}
