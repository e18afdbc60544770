//! A change of the configuration while requests are under way: all of it or nothing, for each of them.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use bearerd::credentials::CredentialErrorKind;

use crate::support::{
    Gate, TestProxy, TokenAnswer, TokenEndpoint, Upstream, plain, token, until, with_credential,
};

/// One generation: the route's base path, its credential and its upstream all carry the same number.
fn generation(number: usize, upstream: &Upstream) -> String {
    format!(
        "credentials: {{ key: {{ static: {{ header: X-Generation, value: 'kanarienvogel-{number}' }} }} }}\n\
         routes: [{{ match: /, upstream: 'http://{}/{number}/', credential: key, strip: {{ headers: [x-none-{number}] }} }}]\n",
        upstream.address()
    )
}

#[test]
fn every_request_is_of_one_generation() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::with_workers(2, &generation(0, &upstream));
    let (ended, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = proxy.connect();
                while !ended.load(Ordering::SeqCst) {
                    let answer = client
                        .send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        .answer();
                    assert_eq!(answer.status(), 200);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for number in 1..60 {
            let before = served.load(Ordering::SeqCst);
            if number % 2 == 0 {
                assert!(proxy.reload("routes: [{ match: nonsense").is_err());
            } else {
                proxy.reload(&generation(number, &upstream)).unwrap();
            }
            until("requests are served meanwhile", || {
                served.load(Ordering::SeqCst) > before + 3
            });
        }
        ended.store(true, Ordering::SeqCst);
    });
    let requests = upstream.requests();
    let mut generations = std::collections::BTreeSet::new();
    for request in &requests {
        let number = request.second().trim_matches(['/', 'x']).to_owned();
        assert_eq!(
            request.header("x-generation"),
            Some(&*format!("kanarienvogel-{number}"))
        );
        generations.insert(number);
    }
    assert!(generations.len() > 10, "{generations:?}");
}

#[test]
fn a_bad_file_leaves_everything_as_it_was() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let yaml = with_credential(&tokens, &upstream, "");
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    for bad in [
        "",
        "not yaml: [",
        "routes: []\nunknown: 1",
        &yaml.replace("credential: main", "credential: other"),
        &yaml.replace("env: SECRET", "env: MISSING"),
        &yaml.replace("http://", "ftp://"),
        &format!(
            "{yaml}  - {{ match: /, upstream: 'http://{}/' }}\n",
            upstream.address()
        ),
    ] {
        assert!(proxy.reload(bad).is_err(), "{bad}");
        assert_eq!(proxy.get("/").status(), 200, "{bad}");
    }
    assert_eq!(tokens.calls(), 1);
    assert_eq!(proxy.app.snapshot().load().generation, 1);
}

#[test]
fn a_bad_file_has_no_secret_tried() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let yaml = with_credential(&tokens, &upstream, "");
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    let changed = yaml.replace("{ env: SECRET }", "another");
    // All of it can be read, and one thing is wrong with it.
    let wrong = changed.replace("credential: main", "credential: other");
    assert!(proxy.reload(&wrong).is_err());
    let last = || proxy.app.credentials().views().remove(0);
    assert_eq!(last().successor, None);
    proxy.reload(&changed).unwrap();
    until("that of the good file is", || tokens.calls() == 2);
}

#[test]
fn the_files_of_the_new_configuration_are_watched_from_then_on() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&plain(&upstream));
    let secret = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-reload-secret");
    fs::write(&secret, "kanarienvogel").unwrap();
    let yaml = with_credential(&tokens, &upstream, "");
    let named = format!("file: '{}'", secret.display());
    proxy.reload(&yaml.replace("env: SECRET", &named)).unwrap();
    assert!(proxy.app.files().contains(&secret));
    proxy.reload(&yaml).unwrap();
    assert!(!proxy.app.files().contains(&secret));
}

/// They say nothing of what a token is for: the one that there is serves on.
#[test]
fn other_deadlines_of_an_endpoint_are_those_of_the_next_call() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::start(|call| match call {
        1 => TokenAnswer::Token(3600),
        _ => TokenAnswer::Silence,
    });
    let yaml = with_credential(&tokens, &upstream, "");
    let proxy = TestProxy::start(&yaml.replace("timeout: 2s", "timeout: 60s"));
    assert_eq!(proxy.get("/").status(), 200);
    proxy
        .reload(&yaml.replace("timeout: 2s", "timeout: 300ms"))
        .unwrap();
    assert_eq!((proxy.get("/").status(), tokens.calls()), (200, 1));
    let error = proxy.renew().unwrap_err();
    assert_eq!(error.kind, CredentialErrorKind::Timeout);
    assert_eq!((proxy.get("/").status(), tokens.calls()), (200, 2));
}

#[test]
fn a_removed_route_is_gone_and_a_kept_credential_keeps_its_token() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let yaml = with_credential(&tokens, &upstream, "");
    let more = format!(
        "{yaml}  - {{ match: /more/, upstream: 'http://{}/more/', credential: main }}\n",
        upstream.address()
    );
    let proxy = TestProxy::start(&more.replace("match: /\n", "match: /all/\n"));
    assert_eq!(proxy.get("/more/").status(), 200);
    let mut open = proxy.connect();
    assert_eq!(
        open.send("GET /more/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .answer()
            .status(),
        200
    );
    proxy
        .reload(&yaml.replace("match: /\n", "match: /all/\n"))
        .unwrap();
    assert_eq!(proxy.get("/more/").code(), "route_not_found");
    let answer = open
        .send("GET /more/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .answer();
    assert_eq!(
        answer.code(),
        "route_not_found",
        "an open connection has the old routes"
    );
    assert_eq!(proxy.get("/all/").status(), 200);
    assert_eq!(tokens.calls(), 1);
    assert_eq!(
        upstream.connections(),
        1,
        "connections to the upstream are kept"
    );
}

#[test]
fn a_request_under_way_keeps_its_generation_through_a_refusal() {
    let gate = Gate::default();
    let (tokens, other) = (TokenEndpoint::good(), Upstream::ok());
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            let number = exchange.number;
            if number == 0 {
                gate.pass();
            }
            exchange.answer(if number == 0 { 401 } else { 200 }, "", "old");
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = proxy.connect();
    client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("it is under way", || upstream.count() == 1);
    proxy.reload(&plain(&other)).unwrap();
    gate.open();
    assert_eq!(client.answer().text(), "old");
    assert_eq!(other.count(), 0);
    let last = upstream.requests().pop().unwrap();
    assert_eq!(
        last.header("authorization"),
        Some(&*format!("Bearer {}", token(2)))
    );
    assert_eq!(proxy.get("/x").text(), "ok");
    assert_eq!(other.count(), 1);
}
