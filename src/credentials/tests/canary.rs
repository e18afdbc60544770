//! A secret is looked for, in every spelling, wherever text comes out of this module.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::io::AsyncWriteExt;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{
    fake::cache,
    http::{Scripted, answer, read_request, source},
};
use crate::{
    callers::{ApiKey, Callers, KeyHash},
    credentials::{
        CacheSettings, Client, ClientAuth, Extras, Fetch, Source, grants::Fixed, obtain,
    },
    secret::Secret,
};

const ID: &str = "canary-client";
const SECRET: &str = "canary/secret+1";
const TOKEN: &str = "canary-token-2";
const PARAM: &str = "canary&param=3";
// Nothing in common with those above, nor long: found as themselves alone.
const QUERY: &str = "osprey/4";
const HEADER: &str = "heron+5";
const IN_URL: &str = "ibis/6";

fn spellings() -> Vec<String> {
    let mut all = vec![STANDARD.encode(format!("{ID}:{SECRET}"))];
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    all.push(STANDARD.encode(format!("{ID}:{encoded}")));
    for secret in [SECRET, TOKEN, PARAM, QUERY, HEADER, IN_URL] {
        all.push(secret.to_owned());
        all.push(STANDARD.encode(secret).trim_end_matches('=').to_owned());
        all.push(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
        all.push(secret.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }));
        // As a list of numbers, which is how Debug shows bytes.
        all.push(
            format!("{:?}", secret.as_bytes())
                .trim_matches(['[', ']'])
                .to_owned(),
        );
    }
    all
}

fn look_in(place: &str, text: &str) {
    for spelling in spellings() {
        assert!(!text.contains(&spelling), "{spelling} in {place}: {text}");
    }
}

/// Writes every field of every event at every level.
#[derive(Clone, Default)]
pub(in crate::credentials) struct Listener(Arc<Mutex<String>>);

impl Listener {
    pub(in crate::credentials) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut Writer(&mut self.0.lock().unwrap()));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, record: &span::Record<'_>) {
        record.record(&mut Writer(&mut self.0.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Writer(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = writeln!(self.0, "{field}={value:?}");
    }
}

fn sources(url: &str) -> Vec<Arc<dyn Source>> {
    let client = || Client {
        id: ID.into(),
        secret: Secret::new(SECRET),
    };
    let mut value = ::http::HeaderValue::from_static(HEADER);
    value.set_sensitive(true);
    let extras = || Extras {
        params: vec![("p".into(), Secret::new(PARAM))],
        query: vec![("q".into(), Secret::new(QUERY))],
        headers: vec![("x-p".parse().unwrap(), value.clone())],
        ..Extras::default()
    };
    let url = &format!(
        "{url}?in_url={}",
        form_urlencoded::byte_serialize(IN_URL.as_bytes()).collect::<String>()
    );
    vec![
        Arc::new(source(url, ClientAuth::Basic(client()), extras())),
        Arc::new(source(url, ClientAuth::BasicRaw(client()), extras())),
        Arc::new(source(url, ClientAuth::Body(client()), extras())),
        Arc::new(Fixed::token(Secret::new(TOKEN))),
        Arc::new(Fixed::basic(ID, Secret::new(SECRET))),
    ]
}

#[tokio::test]
async fn no_text_of_any_kind_holds_a_secret() {
    let listener = Listener::default();
    // With one dispatcher alone, an event that another test's thread meets first is never heard here.
    let _second = tracing::Dispatch::new(Listener::default());
    let guard = tracing::subscriber::set_default(listener.clone());
    let echo = format!(r#"{{"error":"{SECRET}","error_description":"{SECRET} {PARAM}"}}"#);
    let answers = [
        answer(
            "200 OK",
            "",
            &format!(r#"{{"access_token":"{TOKEN}","scope":"a","expires_in":60}}"#),
        ),
        answer("400 Bad", "", &echo),
        answer("200 OK", "", &echo),
        answer("200 OK", "", &format!("<html>{SECRET}{TOKEN}")),
        answer("302 Found", &format!("Location: /{SECRET}?{PARAM}\r\n"), ""),
        format!("{SECRET}{TOKEN}\r\n\r\n"),
        answer("200 OK", "", &format!(r#"{{"access_token":"{TOKEN}\n"}}"#)),
    ];
    for answer in answers {
        let endpoint = Scripted::start(answer).await;
        for source in sources(&endpoint.url) {
            look_in("source", &format!("{source:?} {:?}", source.fingerprint()));
            look_in("endpoint", &source.endpoints().join(" "));
            let obtained = obtain(&*source).await;
            look_in("obtained", &format!("{obtained:?}"));
            if let Err(error) = &obtained.result {
                look_in("fetch error", &format!("{error} {error:?}"));
            }
            let _ = source.fetch(Fetch::FIRST).await;
            let credentials = cache();
            let slot = credentials.handle("name", source, CacheSettings::default());
            match slot.lease(Duration::from_secs(5)).await {
                Ok(lease) => {
                    look_in("lease", &format!("{lease:?} {:?}", lease.authorization()));
                    slot.accept(&lease);
                    slot.reject(&lease);
                    let _ = slot.lease(Duration::from_secs(5)).await;
                }
                Err(error) => look_in("credential error", &format!("{error} {error:?}")),
            }
            look_in(
                "views",
                &format!("{:?} {slot:?} {credentials:?}", credentials.views()),
            );
        }
    }
    drop(guard);
    let logged = listener.text();
    assert!(
        logged.contains("not obtained"),
        "the listener hears: {logged}"
    );
    look_in("logs", &logged);
}

/// Says back all that it was sent, head and form, from one end or the other: only a beginning is shown.
async fn echo(backwards: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            let mut parts: Vec<_> = request.split(['\r', '\n', '&']).collect();
            if backwards {
                parts.reverse();
            }
            let body =
                serde_json::json!({"error": "strange", "error_description": parts.join(" ; ")});
            let answer = answer("400 Bad", "", &body.to_string());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn an_echo_of_the_whole_request_shows_no_secret() {
    let mut said = 0;
    for backwards in [false, true] {
        for source in sources(&echo(backwards).await) {
            let Err(error) = source.fetch(Fetch::FIRST).await else {
                continue;
            };
            look_in("fetch error", &format!("{error} {error:?}"));
            said += usize::from(error.detail.contains("it says: strange: "));
            let slot = cache().handle("name", source, CacheSettings::default());
            let error = slot.lease(Duration::from_secs(5)).await.unwrap_err();
            assert!(
                !error.detail.contains("strange"),
                "for operators alone: {error}"
            );
        }
    }
    assert_eq!(said, 6, "each kind of client was told something");
}

#[test]
fn callers_show_neither_key_nor_hash() {
    let hash = KeyHash::of(&Secret::new(SECRET));
    let key = ApiKey {
        name: "c".into(),
        header: "x-api-key".parse().unwrap(),
        hash,
        may_name_users: false,
    };
    look_in(
        "callers",
        &format!(
            "{:?} {:?}",
            key,
            Callers::new(vec![key.clone()], Vec::new())
        ),
    );
}
