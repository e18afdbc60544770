//! A credential for each user that builds on another one for each user.

use super::{
    issuer::{JSON, exchanged, user_of},
    *,
};

#[test]
fn what_builds_on_a_users_credential_is_that_users_alone() {
    let issuer = Issuer::new();
    let keys = keys(&issuer);
    let vendor = Upstream::start(|exchange| {
        let subject = exchanged(&exchange.request);
        let issued = match subject.strip_prefix("inner-of-") {
            Some(user) => format!("outer-of-{user}"),
            None => format!("inner-of-{}", user_of(&subject)),
        };
        let body = format!(r#"{{"access_token":"{issued}","token_type":"Bearer"}}"#);
        exchange.answer(200, JSON, &body);
    });
    let upstream = Upstream::ok();
    let url = format!("http://{}/token", vendor.address());
    let proxy = TestProxy::start(&[
        callers(&keys),
        format!(
            "credentials:\n  main: {{ token_exchange: {{ token_url: '{url}', subject: {{ credential: inner }} }} }}\n  \
             inner: {{ token_exchange: {{ token_url: '{url}', subject: {{ mint: {{ issuer: proxy }} }} }} }}\n"
        ),
        route(&upstream, "subject: { header: X-User }"),
    ].concat());
    for user in [ADA, BOB, ADA] {
        let answer = proxy.send(get(&format!("{}X-User: {user}\r\n", key(SECRET))));
        assert_eq!(answer.status(), 200);
    }
    let requests = upstream.requests();
    let carried: Vec<_> = requests
        .iter()
        .filter_map(|it| it.header("authorization"))
        .collect();
    let outer = |user| format!("Bearer outer-of-{user}");
    assert_eq!(carried, [outer(ADA), outer(BOB), outer(ADA)]);
    assert_eq!(vendor.count(), 4, "two for each user");
}
