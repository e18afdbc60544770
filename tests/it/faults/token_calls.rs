//! What each fault of the token endpoint looks like from outside, and that nobody notices it while a token is good.

use bearerd::credentials::CredentialError;

use crate::support::{
    Answer, Gate, Relay, TestProxy, TokenAnswer, TokenEndpoint, Upstream, closed_port, token,
    until, with_credential,
};

struct Scene {
    tokens: TokenEndpoint,
    upstream: Upstream,
    proxy: TestProxy,
}

impl Scene {
    fn new(tokens: TokenEndpoint) -> Self {
        let upstream = Upstream::ok();
        // A deadline of its own for silence: the others answer at once.
        let yaml = with_credential(&tokens, &upstream, "wait: 5s").replace("2s", "500ms");
        let proxy = TestProxy::start(&yaml);
        Self {
            tokens,
            upstream,
            proxy,
        }
    }

    /// Nothing was fetched yet, and this is all that there is to be had.
    fn cold(answer: TokenAnswer) -> Self {
        Self::new(TokenEndpoint::always(answer))
    }

    /// There is a token, and then the endpoint begins to answer so.
    fn warm(then: TokenAnswer) -> Self {
        let scene = Self::new(TokenEndpoint::in_turn([TokenAnswer::Token(3600), then]));
        assert_eq!(scene.proxy.get("/").status(), 200);
        scene
    }

    /// A request is answered so, and nothing at all went upstream.
    #[track_caller]
    fn tells(&self, status: u16, code: &str, proxy_status: &str) -> Answer {
        let answer = self.proxy.get("/");
        assert_eq!((answer.status(), &*answer.code()), (status, code));
        let told = format!("bearerd; error={proxy_status}; details=\"token-endpoint\"");
        assert_eq!(answer.header("proxy-status"), Some(&*told));
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.upstream.connections(), 0);
        answer
    }

    /// A renewal fails, and all requests after it are served with the token that there is, without another call.
    #[track_caller]
    fn goes_on(&self) -> CredentialError {
        let error = self.proxy.renew().expect_err("the endpoint is in trouble");
        for _ in 0..10 {
            assert_eq!(self.proxy.get("/").status(), 200);
        }
        for request in self.upstream.requests() {
            let sent = request.header("authorization");
            assert_eq!(sent, Some(&*format!("Bearer {}", token(1))));
        }
        assert_eq!(self.tokens.calls(), 2);
        error
    }
}

mod refused {
    use super::*;

    #[test]
    fn cold_is_503_and_says_that_the_connection_was_refused() {
        let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
        let yaml = with_credential(&tokens, &upstream, "")
            .replace(&tokens.address().to_string(), &closed_port().to_string());
        let proxy = TestProxy::start(&yaml);
        let scene = Scene {
            tokens,
            upstream,
            proxy,
        };
        let answer = scene.tells(503, "token_unavailable", "connection_refused");
        assert!(answer.header("retry-after").is_some());
    }
}

mod stalled {
    use super::*;

    #[test]
    fn cold_is_504_after_one_call() {
        let scene = Scene::cold(TokenAnswer::Silence);
        scene.tells(504, "token_timeout", "connection_read_timeout");
        assert_eq!(scene.tokens.calls(), 1);
    }

    #[test]
    fn with_a_token_nobody_notices() {
        Scene::warm(TokenAnswer::Silence).goes_on();
    }

    /// What is held on the way is waited for as long as the file says, and no attempt is heaped on another.
    #[test]
    fn once_the_wire_is_mended_requests_are_served() {
        let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
        let relay = Relay::to(tokens.address());
        let yaml = with_credential(&tokens, &upstream, "").replace("2s", "500ms");
        let direct = tokens.address().to_string();
        let proxy = TestProxy::start(&yaml.replace(&direct, &relay.address().to_string()));
        relay.stall();
        assert_eq!(proxy.get("/").code(), "token_timeout");
        assert_eq!(tokens.calls(), 0);
        relay.resume();
        until("a request is served", || proxy.get("/").status() == 200);
        // The one that was held may have arrived in the end.
        assert!(tokens.calls() <= 2, "{} calls", tokens.calls());
    }
}

mod slowed {
    use super::*;

    #[test]
    fn an_answer_within_the_deadline_is_waited_for_by_all() {
        let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
        let relay = Relay::to(tokens.address());
        relay.delay(std::time::Duration::from_millis(100));
        let direct = tokens.address().to_string();
        let yaml = with_credential(&tokens, &upstream, "");
        let proxy = TestProxy::start(&yaml.replace(&direct, &relay.address().to_string()));
        let mut clients: Vec<_> = (0..10).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), 200);
        }
        assert_eq!(tokens.calls(), 1);
    }
}

mod cut {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_is_no_token_and_is_asked_for_again_later() {
        let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
        let relay = Relay::to(tokens.address());
        let direct = tokens.address().to_string();
        let yaml = with_credential(&tokens, &upstream, "");
        let proxy = TestProxy::start(&yaml.replace(&direct, &relay.address().to_string()));
        relay.cut_after(150);
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), &*answer.code()),
            (503, "token_unavailable")
        );
        let told = answer.header("proxy-status").unwrap();
        assert!(told.contains("error=connection_terminated"), "{told}");
        assert_eq!((tokens.calls(), upstream.connections()), (1, 0));
        until("a request is served", || proxy.get("/").status() == 200);
        assert_eq!(tokens.calls(), 2);
    }

    #[test]
    fn a_wire_that_is_cut_while_the_answer_is_awaited_is_503() {
        let (gate, upstream) = (Gate::default(), Upstream::ok());
        let held = TokenAnswer::Held(gate.clone(), Box::new(TokenAnswer::Token(3600)));
        let tokens = TokenEndpoint::always(held);
        let relay = Relay::to(tokens.address());
        let direct = tokens.address().to_string();
        let yaml = with_credential(&tokens, &upstream, "");
        let proxy = TestProxy::start(&yaml.replace(&direct, &relay.address().to_string()));
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        until("the endpoint is asked", || tokens.calls() == 1);
        relay.cut();
        assert_eq!(client.answer().code(), "token_unavailable");
        gate.open();
    }
}

mod limiting {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use bearerd::clock::{Instant, now};

    use super::*;

    #[test]
    fn cold_is_503_with_its_retry_after() {
        let scene = Scene::cold(TokenAnswer::try_again(429, "30"));
        let answer = scene.tells(503, "token_rate_limited", "destination_unavailable");
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((28..=30).contains(&after), "{after}");
    }

    #[test]
    fn with_a_token_nobody_notices() {
        Scene::warm(TokenAnswer::try_again(429, "30")).goes_on();
    }

    #[test]
    fn it_is_left_alone_until_then() {
        let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let scene = Scene::new(TokenEndpoint::start({
            let asked = Arc::clone(&asked);
            move |call| {
                asked.lock().unwrap().push(now());
                match call {
                    1 => TokenAnswer::try_again(429, "2"),
                    _ => TokenAnswer::Token(3600),
                }
            }
        }));
        until("a request is served", || {
            scene.proxy.get("/").status() == 200
        });
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 2);
        assert!(asked[1] - asked[0] >= Duration::from_secs(2));
    }
}

mod failing {
    use super::*;

    #[test]
    fn cold_is_503_and_says_that_the_endpoint_is_unavailable() {
        for status in [500, 502, 503] {
            let scene = Scene::cold(TokenAnswer::status(status));
            let answer = scene.tells(503, "token_unavailable", "destination_unavailable");
            assert!(answer.header("retry-after").is_some());
        }
    }

    #[test]
    fn with_a_token_nobody_notices() {
        Scene::warm(TokenAnswer::status(503)).goes_on();
    }

    #[test]
    fn all_who_wait_share_one_call_and_its_failure() {
        let gate = Gate::default();
        let failing = Box::new(TokenAnswer::status(500));
        let scene = Scene::new(TokenEndpoint::always(TokenAnswer::Held(
            gate.clone(),
            failing,
        )));
        let mut clients: Vec<_> = (0..50).map(|_| scene.proxy.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        until("the endpoint is asked", || scene.tokens.calls() == 1);
        gate.open();
        for client in &mut clients {
            assert_eq!(client.answer().code(), "token_unavailable");
        }
        assert!(scene.tokens.calls() <= 3, "{}", scene.tokens.calls());
    }
}

mod rejecting {
    use super::*;

    #[test]
    fn cold_is_502_and_says_that_the_configuration_is_at_fault() {
        for code in ["invalid_client", "invalid_grant"] {
            let scene = Scene::cold(TokenAnswer::error(code));
            let answer = scene.tells(502, "token_rejected", "proxy_configuration_error");
            assert!(answer.header("retry-after").is_some(), "it is probed");
        }
    }

    #[test]
    fn with_a_token_nobody_notices() {
        Scene::warm(TokenAnswer::error("invalid_client")).goes_on();
    }
}

mod malformed {
    use super::*;

    #[test]
    fn cold_is_502_after_one_call() {
        let scene = Scene::cold(TokenAnswer::json("{\"access_token\":\"a\\r\\nX-Evil: 1\"}"));
        scene.tells(502, "token_malformed", "http_protocol_error");
        assert_eq!(scene.tokens.calls(), 1);
    }

    #[test]
    fn with_a_token_nobody_notices() {
        Scene::warm(TokenAnswer::json("<html></html>")).goes_on();
    }
}

mod huge {
    use std::fs;

    use super::*;
    use crate::support::{Process, check};

    #[test]
    fn cold_is_502() {
        let scene = Scene::cold(TokenAnswer::Huge(3 << 20));
        scene.tells(502, "token_malformed", "http_protocol_error");
    }

    #[test]
    fn with_a_token_nobody_notices() {
        Scene::warm(TokenAnswer::Huge(3 << 20)).goes_on();
    }

    /// So there is nothing that could unfold.
    #[test]
    fn a_packed_answer_is_neither_asked_for_nor_unpacked() {
        let mut packed =
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 57\r\n\r\n".to_vec();
        packed.extend_from_slice(PACKED_TOKEN);
        let scene = Scene::cold(TokenAnswer::Raw(packed));
        scene.tells(502, "token_malformed", "http_protocol_error");
        assert_eq!(scene.tokens.requests()[0].header("accept-encoding"), None);
    }

    /// In a process of its own: the memory of this one is many tests'.
    #[test]
    fn memory_does_not_follow_the_answer() {
        let upstream = Upstream::ok();
        let endless = TokenAnswer::Raw(
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n".to_vec(),
                vec![b' '; 0x400_0000],
            ]
            .concat(),
        );
        let small = || TokenEndpoint::always(TokenAnswer::json("{}"));
        let endpoints = [
            // Whatever is made once, for the process or for a thread, is made for these.
            ("first", small()),
            ("second", small()),
            ("third", small()),
            ("huge", TokenEndpoint::always(TokenAnswer::Huge(1 << 30))),
            ("endless", TokenEndpoint::always(endless)),
        ];
        let (mut credentials, mut routes) = (String::new(), String::new());
        for (name, tokens) in &endpoints {
            credentials += &format!(
                "  {name}: {{ client_credentials: {{ token_url: 'http://{}/', client_id: a, client_secret: {{ env: SECRET }} }} }}\n",
                tokens.address()
            );
            routes += &format!(
                "  - {{ match: /{name}/, upstream: 'http://{}/', credential: {name} }}\n",
                upstream.address()
            );
        }
        let yaml = format!("listen: 127.0.0.1:0\ncredentials:\n{credentials}routes:\n{routes}");
        let file = crate::faults::file("memory", &yaml);
        let process = Process::start(&file);
        let ask = |name: &str| {
            let answer = process.get(&format!("/{name}/"));
            assert_eq!(answer.code(), "token_malformed", "{name}");
            most_memory(&process)
        };
        let before = ["first", "second", "third"].map(ask)[2];
        // What is announced is not read at all. Else a mebibyte is, with the buffers on its way.
        for (name, most) in [("huge", 2 << 10), ("endless", 8 << 10)] {
            let after = ask(name);
            // The kernel rounds: it may tell of a little less than before.
            assert!(after <= before + most, "{name}: {before} KiB, then {after}");
        }
        let (_, log) = {
            process.signal(rustix::process::Signal::TERM);
            process.ended()
        };
        check("the log", log.as_bytes());
    }

    /// What the process had in memory when it had most, in KiB.
    fn most_memory(process: &Process) -> usize {
        let pid = process.pid().as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }

    /// `{"access_token":"abc","expires_in":60}`
    const PACKED_TOKEN: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x4c\x4e\x4e\x2d\x2e\
        \x8e\x2f\xc9\xcf\x4e\xcd\x53\xb2\x52\x4a\x4c\x4a\x56\xd2\x51\x4a\xad\x28\xc8\x2c\x4a\x2d\x8e\xcf\x04\
        \x0a\x99\x19\xd4\x02\x00\xed\x46\x99\x03\x26\x00\x00\x00";
}

mod redirecting {
    use super::*;

    #[test]
    fn cold_is_502_and_the_target_hears_nothing() {
        for status in [302, 307, 308] {
            let target = Upstream::ok();
            let scene = Scene::cold(TokenAnswer::redirect(status, target.address()));
            scene.tells(502, "token_redirect", "http_protocol_error");
            assert_eq!(target.connections(), 0);
        }
    }

    #[test]
    fn with_a_token_nobody_notices() {
        let target = Upstream::ok();
        Scene::warm(TokenAnswer::redirect(307, target.address())).goes_on();
        assert_eq!(target.connections(), 0);
    }
}

mod expired_on_arrival {
    use super::*;

    #[test]
    fn cold_is_502_after_one_call() {
        let scene = Scene::cold(TokenAnswer::Token(0));
        scene.tells(502, "token_malformed", "http_protocol_error");
        assert_eq!(scene.tokens.calls(), 1);
    }
}
