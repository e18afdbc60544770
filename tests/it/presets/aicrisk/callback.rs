//! An installation whose server calls the redirect URI itself.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use super::{CODE, TOKEN, client};
use crate::{
    presets::{asked, count, json, proxy, yaml},
    support::{Client, Exchange, Gate, TestProxy, Upstream, token, until},
};

/// An address that nobody else gets: below those that the system gives away.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 300).unwrap() * 32;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(at).is_ok() {
            return at;
        }
    }
}

fn nobody_listens(at: SocketAddr) {
    until("nobody listens any more", || {
        TcpStream::connect(at).is_err()
    });
}

/// Calls the redirect URI and gives the status that came back.
fn call(at: SocketAddr, line: &str) -> u16 {
    let mut client = Client::connect(at);
    client.send(format!("{line} HTTP/1.1\r\nHost: proxy.example\r\n\r\n"));
    client.try_answer().map_or(0, |answer| answer.status())
}

fn parameter(exchange: &Exchange<'_>, name: &str) -> String {
    let query = exchange
        .request
        .second()
        .split_once('?')
        .unwrap()
        .1
        .to_owned();
    let found = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// An installation that does this when it is asked for a code; a token is what its code was, and the user's API
/// takes no other.
fn vendor(code: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| {
        let path = exchange.request.path().to_owned();
        match path.as_str() {
            CODE => code(exchange),
            TOKEN => {
                let body = exchange.request.body.clone();
                let code = form_urlencoded::parse(&body)
                    .find(|(name, _)| name == "code")
                    .unwrap()
                    .1;
                json(exchange, 200, &format!(r#"{{"access_token":"{code}"}}"#));
            }
            _ => exchange.answer(200, "", "ok"),
        }
    })
}

fn listening(at: SocketAddr) -> String {
    client(&format!(", userid: jo, callback: '{at}'"))
}

#[test]
fn a_code_that_is_brought_before_the_answer_is_taken() {
    let at = free_port();
    let vendor = vendor(move |exchange| {
        assert_eq!(parameter(exchange, "redirect_uri"), super::CALLBACK);
        let state = parameter(exchange, "state");
        let line = format!("GET /callback?code={}&state={state}", token(1));
        assert_eq!(call(at, &line), 200);
        assert_eq!(call(at, &line), 404, "once");
        exchange.answer(200, "Content-Type: text/plain\r\n", "done");
    });
    let proxy = proxy("aicrisk", &listening(at), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
    let last = vendor.requests().pop().unwrap();
    assert_eq!(
        last.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
    nobody_listens(at);
}

#[test]
fn a_code_that_is_brought_after_the_answer_is_waited_for() {
    let at = free_port();
    let vendor = vendor(move |exchange| {
        let state = parameter(exchange, "state");
        exchange.answer(200, "", "soon");
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            call(at, &format!("GET /callback?code=c&state={state}"))
        });
    });
    let proxy = proxy("aicrisk", &listening(at), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
}

#[test]
fn a_redirect_will_do_there_too() {
    let at = free_port();
    let vendor = vendor(|exchange| {
        let state = parameter(exchange, "state");
        let location = format!("Location: {}?code=c&state={state}\r\n", super::CALLBACK);
        exchange.answer(302, &location, "");
    });
    let proxy = proxy("aicrisk", &listening(at), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
    nobody_listens(at);
}

#[test]
fn only_the_very_call_is_taken() {
    let at = free_port();
    let vendor = vendor(move |exchange| {
        let state = parameter(exchange, "state");
        for line in [
            format!("GET /callback?code=evil&state={state}x"),
            "GET /callback?code=evil".into(),
            "GET /callback?code=evil&state=".into(),
            format!("GET /callback?code=evil&state={state}&state={state}"),
            format!("GET /other?code=evil&state={state}"),
            format!("POST /callback?code=evil&state={state}"),
        ] {
            assert_eq!(call(at, &line), 404, "{line}");
        }
        let long = "x".repeat(64 * 1024);
        assert_ne!(
            call(at, &format!("GET /callback?code={long}&state={state}")),
            200
        );
        assert_ne!(call(at, "nothing of the kind"), 200);
        assert_eq!(
            call(at, &format!("GET /callback?code=good&state={state}")),
            200
        );
        exchange.answer(200, "", "ok");
    });
    let proxy = proxy("aicrisk", &listening(at), &vendor);
    assert_eq!(
        proxy.get("/api/Users/ListUsers").status(),
        200,
        "{:?}",
        asked(&vendor)
    );
    let last = vendor.requests().pop().unwrap();
    assert_eq!(last.headers("authorization"), ["Bearer good"]);
}

#[test]
fn an_error_is_brought_like_a_code() {
    let at = free_port();
    let vendor = vendor(move |exchange| {
        let state = parameter(exchange, "state");
        call(
            at,
            &format!("GET /callback?error=access_denied&state={state}"),
        );
        exchange.answer(200, "", "done");
    });
    let proxy = proxy("aicrisk", &listening(at), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").code(), "token_rejected");
}

#[test]
fn a_refusal_is_not_waited_upon() {
    let at = free_port();
    let vendor = Upstream::start(super::refuse);
    let proxy = proxy("aicrisk", &listening(at), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").code(), "token_rejected");
    nobody_listens(at);
}

/// Eight users at once, whose codes come in another order than they were asked for.
#[test]
fn runs_at_the_same_time_do_not_mix() {
    const USERS: usize = 8;
    let at = free_port();
    let waiting = Mutex::new(Vec::new());
    let vendor = vendor({
        let all_wait = Gate::default();
        move |exchange| {
            let (state, user) = (parameter(exchange, "state"), parameter(exchange, "userid"));
            if user.is_empty() {
                call(at, &format!("GET /callback?code=generic&state={state}"));
                return exchange.answer(200, "", "done");
            }
            let here = {
                let mut waiting = waiting.lock().unwrap();
                waiting.push((state, user));
                waiting.len()
            };
            if here == USERS {
                for (state, user) in waiting.lock().unwrap().iter().rev() {
                    assert_eq!(
                        call(at, &format!("GET /callback?code=of-{user}&state={state}")),
                        200
                    );
                }
                all_wait.open();
            }
            all_wait.pass();
            exchange.answer(200, "", "done");
        }
    });
    let with = client(&format!(", callback: '{at}'"));
    let file = yaml("aicrisk", &with, &vendor).replace(
        ", credential: main }",
        ", credential: main, subject: { header: X-User } }",
    );
    let proxy = TestProxy::start(&format!(
        "callers:\n  portal: {{ api_key: {{ header: X-Caller, key: portal-key }}, may_name_users: true }}\n{file}"
    ));
    thread::scope(|scope| {
        for number in 0..USERS {
            let proxy = &proxy;
            scope.spawn(move || {
                let head = format!(
                    "GET /api/{number} HTTP/1.1\r\nHost: localhost\r\nX-Caller: portal-key\r\nX-User: user{number}\r\n\r\n"
                );
                assert_eq!(proxy.send(head).status(), 200, "{number}");
            });
        }
    });
    for request in vendor.requests() {
        let Some(number) = request
            .second()
            .strip_prefix("/api/")
            .filter(|it| it.parse::<usize>().is_ok())
        else {
            continue;
        };
        assert_eq!(
            request.headers("authorization"),
            [format!("Bearer of-user{number}")]
        );
    }
    assert_eq!(count(&vendor, CODE), USERS + 1);
    nobody_listens(at);
}

#[test]
fn an_address_that_is_taken_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let vendor = vendor(|exchange| exchange.answer(200, "", "done"));
    let proxy = proxy("aicrisk", &listening(taken.local_addr().unwrap()), &vendor);
    let answer = proxy.get("/api/Users/ListUsers");
    assert_eq!(answer.code(), "token_unavailable");
    let told = answer.text();
    assert!(told.contains("can't listen on 127.0.0.1:"), "{told}");
    assert_eq!(vendor.count(), 0, "the code would have nowhere to go");
}

#[test]
fn nobody_who_comes_is_a_timeout() {
    let at = free_port();
    let vendor = vendor(|exchange| exchange.answer(200, "", "done"));
    let address = vendor.address();
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    recipe:\n      timeout: 200ms\n      steps:\n        - name: code\n          \
         request: {{ method: GET, url: 'http://{address}{CODE}', query: {{ state: '{{{{ random }}}}' }} }}\n          \
         redirect: {{ to: 'http://localhost/callback', state: '{{{{ random }}}}', listen: '{at}' }}\n          \
         capture: {{ code: {{ location_query: code }} }}\n      outputs: {{ access_token: '{{{{ code.code }}}}' }}\n    \
         inject: {{ header: Authorization, value: 'Bearer {{{{ access_token }}}}' }}\n\
         routes:\n  - {{ match: /, upstream: 'http://{address}/', credential: main }}\n"
    ));
    assert_eq!(proxy.get("/x").code(), "token_timeout");
    nobody_listens(at);
}
