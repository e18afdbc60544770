//! Secrets of all tests hold one word; it is searched in everything that the proxy says to clients and logs.
//!
//! The log is taken at its most talkative level, of the proxy and of every crate in it; `SHOW_LOG=1` shows it.

use std::{
    fmt::Write as _,
    io,
    sync::{Mutex, Once, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use regex::bytes::Regex;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

/// The client secret of all tests.
pub const SECRET: &str = "kanarienvogel/s+cret&1";

/// The n-th access token.
pub fn token(number: usize) -> String {
    format!("{WORD}-token-{number}")
}

/// Panics where `text` holds the word, in any spelling.
#[track_caller]
pub fn check(what: &str, text: &[u8]) {
    if let Some(spelling) = find(text) {
        panic!(
            "{what} holds a secret, spelled {spelling:?}: {}",
            String::from_utf8_lossy(text)
        );
    }
}

/// Panics where a line was logged that holds the word.
#[track_caller]
pub fn check_log() {
    let leaks = LEAKS.lock().unwrap();
    assert!(leaks.is_empty(), "a secret in the log: {leaks:?}");
}

/// How many lines were logged.
pub fn logged_lines() -> usize {
    *LINES.lock().unwrap()
}

/// Takes the log of this whole process.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(Ear)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

fn find(text: &[u8]) -> Option<String> {
    static SEARCH: OnceLock<Regex> = OnceLock::new();
    let search = SEARCH.get_or_init(|| Regex::new(&spellings().join("|")).unwrap());
    let found = search.find(text)?;
    Some(String::from_utf8_lossy(found.as_bytes()).into_owned())
}

/// Raw, in hexadecimal digits, and in base64 wherever the word may begin.
fn spellings() -> Vec<String> {
    let mut hex = String::new();
    for byte in WORD.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    let shifted = (0..3).map(|skipped| {
        // Only whole groups of the word itself: what stands before and behind it is not known.
        let word = &WORD.as_bytes()[skipped..];
        STANDARD_NO_PAD.encode(&word[..word.len() / 3 * 3])
    });
    [WORD.to_owned(), hex.to_uppercase(), hex]
        .into_iter()
        .chain(shifted)
        .collect()
}

/// Reads every line.
#[derive(Clone, Copy)]
struct Ear;

impl io::Write for Ear {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the tests, not of the proxy"
    )]
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        *LINES.lock().unwrap() += 1;
        if std::env::var_os("SHOW_LOG").is_some() {
            io::stderr().write_all(line)?;
        }
        if find(line).is_some() {
            let line = String::from_utf8_lossy(line).into_owned();
            LEAKS.lock().unwrap().push(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Ear {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LINES: Mutex<usize> = Mutex::new(0);

/// In every secret; nothing else in a test is called so.
const WORD: &str = "kanarienvogel";

#[test]
fn the_word_is_found_in_every_spelling() {
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{WORD}/x");
        let encoded = STANDARD_NO_PAD.encode(&text);
        assert!(
            find(text.as_bytes()).is_some() && find(encoded.as_bytes()).is_some(),
            "{encoded}"
        );
    }
    assert_eq!(find(b"nothing of the kind"), None);
}
