//! `password`: by password first, then by refresh token for as long as that does.

use super::{asked, bearers, client, form, json, proxy, refusing};
use crate::support::{SECRET, Upstream, token};

fn credential(server: &Upstream) -> String {
    format!(
        "{{ password: {{ {}, username: 'jo doe', password: {{ env: SECRET }}, scope: read }} }}",
        client(server)
    )
}

/// Takes each refresh token once, and refuses the second.
fn server() -> Upstream {
    Upstream::start(|exchange| {
        let n = exchange.number + 1;
        if form(&exchange.request).get("refresh_token") == Some(&token(102)) {
            return json(exchange, 400, r#"{"error":"invalid_grant"}"#);
        }
        let (access, refresh) = (token(n), token(100 + n));
        let body = format!(r#"{{"access_token":"{access}","refresh_token":"{refresh}"}}"#);
        json(exchange, 200, &body);
    })
}

#[test]
fn the_password_is_asked_for_again_only_when_the_refresh_token_is_refused() {
    let (server, upstream) = (server(), refusing(&[1, 3]));
    let proxy = proxy(&credential(&server), &upstream);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let grants: Vec<_> = asked(&server, "refresh_token");
    let expected = [
        ("password", String::new()),
        ("refresh_token", token(101)),
        ("refresh_token", token(102)),
        ("password", String::new()),
    ];
    assert_eq!(
        grants,
        expected.map(|(grant, spent)| (grant.to_owned(), spent))
    );
    assert_eq!(bearers(&upstream).last(), Some(&token(4)));
    let first = form(&server.requests()[0]);
    assert_eq!(first["username"], "jo doe");
    assert_eq!(first["password"], SECRET);
    assert_eq!(first["scope"], "read");
}

#[test]
fn a_wrong_password_is_told_and_not_tried_by_every_request() {
    let server = Upstream::start(|exchange| json(exchange, 400, r#"{"error":"invalid_grant"}"#));
    let upstream = Upstream::ok();
    let proxy = proxy(&credential(&server), &upstream);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").code(), "token_rejected");
    }
    assert_eq!((server.count(), upstream.count()), (1, 0));
}
