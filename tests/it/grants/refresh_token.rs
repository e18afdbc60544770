//! `refresh_token`: the newest is spent, each once.

use super::{asked, bearers, client, json, proxy, refusing};
use crate::support::{Upstream, token, until};

fn credential(server: &Upstream) -> String {
    format!(
        "{{ refresh_token: {{ {}, refresh_token: '{}' }} }}",
        client(server),
        token(100)
    )
}

#[test]
fn a_rotated_token_takes_the_place_of_the_first_and_none_is_spent_twice() {
    let server = Upstream::start(|exchange| {
        let n = exchange.number + 1;
        let (access, refresh) = (token(n), token(100 + n));
        json(
            exchange,
            200,
            &format!(
                r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":3600}}"#
            ),
        );
    });
    let upstream = refusing(&[1, 3]);
    let proxy = proxy(&credential(&server), &upstream);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let spent: Vec<_> = asked(&server, "refresh_token");
    let expected = [100, 101, 102].map(|n| ("refresh_token".to_owned(), token(n)));
    assert_eq!(spent, expected);
    assert_eq!(bearers(&upstream).last(), Some(&token(3)));
}

#[test]
fn a_token_that_is_not_rotated_is_used_again() {
    let server = Upstream::start(|exchange| {
        let body = format!(r#"{{"access_token":"{}"}}"#, token(exchange.number + 1));
        json(exchange, 200, &body);
    });
    let upstream = refusing(&[1]);
    let proxy = proxy(&credential(&server), &upstream);
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let spent = asked(&server, "refresh_token");
    assert_eq!(spent.len(), 2);
    assert_eq!(spent[0], spent[1]);
}

#[test]
fn one_that_the_server_takes_no_more_is_never_sent_again() {
    let server = Upstream::start(|exchange| json(exchange, 400, r#"{"error":"invalid_grant"}"#));
    let upstream = Upstream::ok();
    let proxy = proxy(&credential(&server), &upstream);
    let answer = proxy.get("/");
    assert_eq!((answer.status(), &*answer.code()), (502, "token_rejected"));
    assert!(
        String::from_utf8_lossy(&answer.body).contains("no longer valid"),
        "{answer:?}"
    );
    let handle = proxy.app.credentials().views();
    assert_eq!(
        handle[0].endpoint.as_deref(),
        Some(&*format!("http://{}/token", server.address()))
    );
    assert_eq!((server.count(), upstream.count()), (1, 0));
}

#[test]
fn a_token_that_is_dead_on_arrival_leaves_the_refresh_token_that_came_with_it() {
    for dead in ["0", "-5", "\"0\""] {
        let server = Upstream::start(move |exchange| {
            let n = exchange.number + 1;
            let life = if n == 1 { dead } else { "3600" };
            let (access, refresh) = (token(n), token(100 + n));
            json(
                exchange,
                200,
                &format!(
                    r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":{life}}}"#
                ),
            );
        });
        let upstream = Upstream::ok();
        let proxy = proxy(&credential(&server), &upstream);
        assert_eq!(proxy.get("/").code(), "token_malformed", "{dead}");
        until("another token is had", || proxy.get("/").status() == 200);
        let expected = [100, 101].map(|n| ("refresh_token".to_owned(), token(n)));
        assert_eq!(asked(&server, "refresh_token"), expected, "{dead}");
        assert_eq!(bearers(&upstream), [token(2)]);
    }
}
