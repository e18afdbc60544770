//! The HTTP calls of one fetch, noted while they are made: what a person may know of them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode, header::DATE};
use tokio::task_local;
use tokio_util::sync::CancellationToken;

/// A call that ended. It has no field that could hold a secret: no query, no body, of the headers `Date` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it went, as it may be shown.
    pub endpoint: Arc<str>,
    /// How.
    pub method: Method,
    /// The status of the answer; none where none came.
    pub status: Option<StatusCode>,
    /// How long it took.
    pub took: Duration,
    /// How far the answer's `Date` is ahead of our clock, in milliseconds, half a second more or less.
    pub clock_ahead_ms: Option<i64>,
    /// The version of TLS; none in clear, or where no handshake was completed.
    pub tls: Option<&'static str>,
    /// What was asked for, where it was a token call as OAuth has it.
    pub asked: Option<Asked>,
}

/// What a token call told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How we proved who we are: the word of the file.
    pub client_auth: &'static str,
    /// The scope that was asked for.
    pub scope: Option<String>,
}

/// Where the calls of a fetch are noted, and whether somebody waits for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    noted: Arc<Mutex<Noted>>,
    hurry: CancellationToken,
}

#[derive(Debug, Default)]
struct Noted {
    calls: Vec<Call>,
    /// Of the call that is about to be made.
    asked: Option<Asked>,
}

impl Calls {
    /// What makes its calls go first from then on: somebody waits for what they bring.
    pub(super) fn hurry(&self) -> &CancellationToken {
        &self.hurry
    }

    /// Notes here what `fetch` calls.
    pub(super) fn of<F: Future>(&self, fetch: F) -> impl Future<Output = F::Output> + use<F> {
        CALLS.scope(self.clone(), fetch)
    }

    /// What was noted.
    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.noted().calls)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when somebody waits for what this fetch brings. Cancel safe.
pub(super) async fn hurried() {
    // Whoever fetches without a notebook waits for it.
    if let Ok(hurry) = CALLS.try_with(|calls| calls.hurry.clone()) {
        hurry.cancelled().await;
    }
}

/// Tells of the call that comes next in this fetch.
pub(super) fn asking(client_auth: &'static str, scope: Option<&str>) {
    let asked = Asked {
        client_auth,
        scope: scope.map(Into::into),
    };
    let _ = CALLS.try_with(|calls| calls.noted().asked = Some(asked));
}

/// Notes a call, if the fetch is one whose calls are noted.
pub(super) fn note(call: Call) {
    let _ = CALLS.try_with(|calls| {
        let mut noted = calls.noted();
        let asked = noted.asked.take();
        if noted.calls.len() < MOST_CALLS {
            noted.calls.push(Call { asked, ..call });
        }
    });
}

/// How far `Date` is ahead of a clock that stood at `sent` when the call began.
pub(super) fn ahead_ms(headers: &HeaderMap, sent: Duration, took: Duration) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    // The answer was written at some moment of that second, at some moment of the call.
    let theirs = i64::try_from(date.as_millis()).ok()? + 500;
    let ours = i64::try_from((sent + took / 2).as_millis()).ok()?;
    Some(theirs - ours)
}

task_local! {
    static CALLS: Calls;
}

/// More than any source makes; one that polls is cut.
const MOST_CALLS: usize = 32;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn call() -> Call {
        Call {
            endpoint: "https://login.test/token".into(),
            method: Method::POST,
            status: Some(StatusCode::OK),
            took: Duration::ZERO,
            clock_ahead_ms: None,
            tls: None,
            asked: None,
        }
    }

    #[tokio::test]
    async fn what_was_asked_belongs_to_the_next_call_alone() {
        let calls = Calls::default();
        let fetch = async {
            note(call());
            asking("basic", Some("a b"));
            note(call());
            note(call());
        };
        calls.of(fetch).await;
        let asked: Vec<_> = calls.take().into_iter().map(|it| it.asked).collect();
        let basic = Asked {
            client_auth: "basic",
            scope: Some("a b".into()),
        };
        assert_eq!(asked, [None, Some(basic), None]);
    }

    #[tokio::test]
    async fn a_fetch_without_a_notebook_is_none_the_worse() {
        asking("basic", None);
        note(call());
    }

    #[tokio::test]
    async fn the_notebook_has_an_end() {
        let calls = Calls::default();
        let fetch = async {
            for _ in 0..1000 {
                note(call());
            }
        };
        calls.of(fetch).await;
        assert_eq!(calls.take().len(), MOST_CALLS);
    }

    #[test]
    fn a_date_is_compared_with_the_middle_of_the_call() {
        let mut headers = HeaderMap::new();
        let ahead = |headers: &HeaderMap| {
            ahead_ms(headers, Duration::from_secs(60), Duration::from_secs(2))
        };
        assert_eq!(ahead(&headers), None);
        headers.insert(
            DATE,
            HeaderValue::from_static("Thu, 01 Jan 1970 00:02:01 GMT"),
        );
        assert_eq!(ahead(&headers), Some(60_500));
        headers.insert(DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(ahead(&headers), None);
    }
}
