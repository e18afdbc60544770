//! What happens at each bound: clients, connections to an upstream, requests that wait, descriptors of the process.

use std::{fs, path::Path, path::PathBuf};

use bearerd::clock::now;
use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::support::{
    Client, Gate, Process, TestProxy, TokenAnswer, TokenEndpoint, Upstream, closed_port, plain,
    until, with_credential,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A file of this test's own.
pub fn file(name: &str, yaml: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-faults");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, yaml).unwrap();
    file
}

mod clients {
    use super::*;

    #[test]
    fn the_next_one_waits_until_one_leaves_and_is_then_served() {
        let upstream = Upstream::ok();
        let yaml = format!(
            "limits: {{ connections: 2, drain: 1s }}\n{}",
            plain(&upstream)
        );
        let proxy = TestProxy::start(&yaml);
        let (mut first, mut second) = (proxy.connect(), proxy.connect());
        for client in [&mut first, &mut second] {
            assert_eq!(client.send(GET).answer().status(), 200);
        }
        let mut third = proxy.connect();
        third.send(GET);
        for _ in 0..10 {
            assert_eq!(first.send(GET).answer().status(), 200, "others are served");
        }
        assert_eq!(upstream.count(), 12, "the third one is not");
        drop(second);
        assert_eq!(third.answer().status(), 200);
    }

    #[test]
    fn probes_are_answered_all_the_same() {
        let (upstream, health) = (Upstream::ok(), closed_port());
        let yaml = format!(
            "listen: 127.0.0.1:0\nhealth: {health}\nlimits: {{ connections: 1 }}\n{}",
            plain(&upstream)
        );
        let process = Process::start(&file("probes", &yaml));
        let mut only = process.connect();
        assert_eq!(only.send(GET).answer().status(), 200);
        let mut waiting = process.connect();
        waiting.send(GET);
        let live = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(Client::connect(health).send(live).answer().status(), 200);
        assert_eq!(upstream.count(), 1);
    }
}

mod connections_to_an_upstream {
    use super::*;

    #[test]
    fn beyond_those_that_wait_it_is_503_and_the_others_are_served() {
        let gate = Gate::default();
        let upstream = Upstream::held(&gate);
        let proxy = TestProxy::start(&format!(
            "limits: {{ upstream_connections: 1, upstream_waiters: 1, drain: 1s }}\n{}",
            plain(&upstream)
        ));
        let mut first = proxy.connect();
        first.send(GET);
        until("it is under way", || upstream.count() == 1);
        // Of two more one finds no room; which one, and when, is seen by its answer.
        let (sender, answers) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (proxy, sender) = (&proxy, sender.clone());
                scope.spawn(move || sender.send(proxy.get("/")).unwrap());
            }
            let refused = answers.recv().unwrap();
            assert_eq!((refused.status(), &*refused.code()), (503, "overloaded"));
            assert_eq!(refused.header("retry-after"), Some("1"));
            assert_eq!(
                refused.header("proxy-status"),
                Some("bearerd; error=connection_limit_reached; details=\"upstream\"")
            );
            gate.open();
            assert_eq!(answers.recv().unwrap().status(), 200);
        });
        assert_eq!(first.answer().status(), 200);
        assert_eq!((upstream.count(), upstream.connections()), (2, 1));
    }

    #[test]
    fn one_that_ends_makes_room_for_another() {
        let upstream = Upstream::start(|exchange| {
            exchange.answer(200, "", "");
            exchange.close();
        });
        let proxy = TestProxy::start(&format!(
            "limits: {{ upstream_connections: 1, drain: 1s }}\n{}",
            plain(&upstream)
        ));
        for number in 1..4 {
            assert_eq!(proxy.get("/").status(), 200);
            upstream.until_ended(number);
        }
        assert_eq!(upstream.connections(), 3);
    }

    #[test]
    fn one_that_rests_is_closed_in_its_time() {
        let upstream = Upstream::ok();
        let proxy = TestProxy::start(&format!(
            "limits: {{ upstream_idle: 200ms, drain: 1s }}\n{}",
            plain(&upstream)
        ));
        assert_eq!(proxy.get("/").status(), 200);
        upstream.until_ended(1);
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(upstream.connections(), 2);
    }
}

mod requests_that_wait_for_a_token {
    use super::*;

    #[test]
    fn beyond_the_bound_it_is_503_and_the_others_are_served() {
        let (gate, upstream) = (Gate::default(), Upstream::ok());
        let held = TokenAnswer::Held(gate.clone(), Box::new(TokenAnswer::Token(3600)));
        let tokens = TokenEndpoint::always(held);
        let yaml = with_credential(&tokens, &upstream, "");
        let proxy = TestProxy::start(&format!(
            "limits: {{ credential_waiters: 1, drain: 1s }}\n{yaml}"
        ));
        let mut first = proxy.connect();
        first.send(GET);
        until("it waits", || tokens.calls() == 1);
        let refused = proxy.get("/");
        assert_eq!((refused.status(), &*refused.code()), (503, "overloaded"));
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(
            refused.header("proxy-status"),
            Some("bearerd; error=connection_limit_reached; details=\"token-endpoint\"")
        );
        gate.open();
        assert_eq!(first.answer().status(), 200);
        assert_eq!((tokens.calls(), upstream.count()), (1, 1));
    }
}

mod descriptors {
    use super::*;

    #[test]
    fn without_one_left_it_waits_between_attempts_and_recovers_by_itself() {
        let (upstream, health) = (Upstream::ok(), closed_port());
        let yaml = format!(
            "listen: 127.0.0.1:0\nhealth: {health}\n{}",
            plain(&upstream)
        );
        let process = Process::start(&file("descriptors", &yaml));
        let mut open = process.connect();
        assert_eq!(open.send(GET).answer().status(), 200);
        let few = Some(MOST_DESCRIPTORS);
        let limit = Rlimit {
            current: few,
            maximum: few,
        };
        prlimit(Some(process.pid()), Resource::Nofile, limit).unwrap();
        let since = now();
        let clients: Vec<_> = (0..2 * MOST_DESCRIPTORS)
            .map(|_| process.connect())
            .collect();
        for _ in 0..20 {
            assert_eq!(open.send(GET).answer().status(), 200, "in flight goes on");
        }
        drop(clients);
        assert_eq!(process.get("/").status(), 200);
        let waited = since.elapsed().as_millis() as u64;
        let errors = accept_errors(health);
        assert!(errors > 0, "there was no lack of descriptors");
        assert!(
            errors <= waited / 50 + 1,
            "{errors} attempts in {waited} ms"
        );
        process.signal(Signal::TERM);
        assert!(process.ended().0.success());
    }

    fn accept_errors(health: std::net::SocketAddr) -> u64 {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let metrics = Client::connect(health).send(request).answer().text();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("bearerd_accept_errors_total "));
        line.unwrap().parse().unwrap()
    }

    /// More than the process has open when it starts, and fewer than the test asks for.
    const MOST_DESCRIPTORS: u64 = 64;
}
