//! Many at once on a cold proxy: each credential is fetched once, and its endpoint is not overrun.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::support::{SECRET, TestProxy, Upstream, token};

/// A thousand users, whose requests come by twenty connections at once.
#[test]
fn a_thousand_keys_are_a_thousand_calls_and_few_at_a_time() {
    let (under_way, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let server = Upstream::start({
        let most = Arc::clone(&most);
        move |exchange| {
            most.fetch_max(under_way.fetch_add(1, SeqCst) + 1, SeqCst);
            // Long enough for the next ones to come while it lasts, where they may.
            thread::sleep(Duration::from_millis(5));
            let issued = token(exchange.number);
            let body = format!(
                r#"{{"access_token":"{issued}","expires_in":3600,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}}"#
            );
            under_way.fetch_sub(1, SeqCst);
            exchange.answer(200, "Content-Type: application/json\r\n", &body);
        }
    });
    let upstream = Upstream::ok();
    let proxy = TestProxy::with_workers(
        2,
        &format!(
            "callers:\n  portal: {{ api_key: {{ key: {{ env: SECRET }} }}, may_name_users: true }}\n\
             credentials:\n  main: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ mint: {{ issuer: proxy }} }} }} }}\n\
             routes:\n  - {{ match: /, upstream: 'http://{}/', credential: main, subject: {{ header: X-User }} }}\n",
            server.address(),
            upstream.address()
        ),
    );
    thread::scope(|scope| {
        for part in 0..CONNECTIONS {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = proxy.connect();
                for user in 0..KEYS / CONNECTIONS {
                    let request = format!(
                        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {SECRET}\r\nX-User: user-{part}-{user}\r\n\r\n"
                    );
                    for _ in 0..2 {
                        let answer = client.send(&request).answer();
                        assert_eq!(answer.status(), 200, "{answer:?}");
                    }
                }
            });
        }
    });
    assert_eq!((server.count(), upstream.count()), (KEYS, 2 * KEYS));
    let most = most.load(SeqCst);
    assert_eq!(most, 8, "calls at once");
}

const KEYS: usize = 1000;
const CONNECTIONS: usize = 20;
