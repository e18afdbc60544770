//! `token_exchange`: one token for another, and how that is followed by the next.

use std::{fs, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bearerd::clock::unix_time;

use super::{bearers, client, form, json, refusing};
use crate::support::{Exchange, TestProxy, Upstream, token, until};

const URN: &str = "urn:ietf:params:oauth:token-type";

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("it-exchange-{name}"));
    fs::write(&path, text).unwrap();
    path
}

fn jwt(life: Duration) -> String {
    let exp = (unix_time() + life).as_secs();
    let payload = format!(r#"{{"exp":{exp},"jti":"{}"}}"#, token(90));
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

/// The credential `main` exchanges; `catalog` comes from the same server by client credentials.
fn start(server: &Upstream, exchange: &str, upstream: &Upstream) -> TestProxy {
    let client = client(server);
    TestProxy::start(&format!(
        "credentials:\n  catalog: {{ client_credentials: {{ {client}, client_auth: body }} }}\n  \
         main: {{ token_exchange: {{ token_url: 'http://{}/token', scope: catalog, {exchange} }} }}\n\
         routes:\n  - {{ name: all, match: /, upstream: 'http://{}/', credential: main }}\n",
        server.address(),
        upstream.address()
    ))
}

fn issue(exchange: &mut Exchange<'_>, more: &str) {
    let body = format!(
        r#"{{"access_token":"{}","token_type":"bearer","issued_token_type":"{URN}:access_token"{more}}}"#,
        token(exchange.number + 1)
    );
    json(exchange, 200, &body);
}

#[test]
fn subject_and_actor_are_sent_with_their_types() {
    let subject = file("both", &format!("{}\n", token(50)));
    let server = Upstream::start(|exchange| issue(exchange, ""));
    let upstream = Upstream::ok();
    let more = format!(
        "subject: {{ file: '{}', type: id_token }}, actor: {{ credential: catalog }}, requested_token_type: jwt",
        subject.display()
    );
    let proxy = start(&server, &more, &upstream);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(bearers(&upstream), [token(2)]);
    let asked = form(&server.requests()[1]);
    for (name, value) in [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange".to_owned(),
        ),
        ("subject_token", token(50)),
        ("subject_token_type", format!("{URN}:id_token")),
        ("actor_token", token(1)),
        ("actor_token_type", format!("{URN}:access_token")),
        ("requested_token_type", format!("{URN}:jwt")),
        ("scope", "catalog".to_owned()),
    ] {
        assert_eq!(asked[name], value, "{name}");
    }
    assert_eq!(asked.len(), 7);
}

#[test]
fn every_type_of_token_can_be_named() {
    let subject = file("types", &token(50));
    for (word, urn) in [
        ("access_token", None),
        ("refresh_token", None),
        ("id_token", None),
        ("saml1", None),
        ("saml2", None),
        ("jwt", None),
        ("'urn:x-vendor:key'", Some("urn:x-vendor:key")),
    ] {
        let server = Upstream::start(|exchange| issue(exchange, ""));
        let upstream = Upstream::ok();
        let more = format!("subject: {{ file: '{}', type: {word} }}", subject.display());
        let proxy = start(&server, &more, &upstream);
        assert_eq!(proxy.get("/").status(), 200, "{word}");
        let wanted = urn.map_or_else(|| format!("{URN}:{word}"), str::to_owned);
        assert_eq!(form(&server.request())["subject_token_type"], wanted);
    }
}

#[test]
fn a_refused_link_is_asked_for_another_once() {
    for (status, error) in [
        (401, "invalid_request"),
        (400, "invalid_grant"),
        // Polaris says so of a subject that has expired.
        (400, "invalid_client"),
    ] {
        let server =
            Upstream::start(
                move |exchange| match form(&exchange.request).get("subject_token") {
                    Some(spent) if *spent == token(1) => {
                        json(exchange, status, &format!(r#"{{"error":"{error}"}}"#));
                    }
                    _ => issue(exchange, ""),
                },
            );
        let upstream = Upstream::ok();
        let proxy = start(&server, "subject: { credential: catalog }", &upstream);
        assert_eq!(proxy.get("/").status(), 200, "{status} {error}");
        // Catalog, refused exchange, catalog again, exchange.
        assert_eq!(bearers(&upstream), [token(4)]);
        assert_eq!(form(&server.requests()[3])["subject_token"], token(3));
    }
}

#[test]
fn a_client_that_is_refused_costs_the_link_nothing() {
    // The second is what Polaris says of a wrong secret.
    for error in ["invalid_client", "unauthorized_client"] {
        let server =
            Upstream::start(
                move |exchange| match form(&exchange.request).get("subject_token") {
                    Some(_) => json(exchange, 401, &format!(r#"{{"error":"{error}"}}"#)),
                    None => issue(exchange, ""),
                },
            );
        let upstream = Upstream::ok();
        let proxy = start(&server, "subject: { credential: catalog }", &upstream);
        assert_eq!(proxy.get("/").code(), "token_rejected");
        assert_eq!((server.count(), upstream.count()), (2, 0), "{error}");
    }
}

#[test]
fn an_expiring_token_is_exchanged_itself_with_itself_as_bearer() {
    let server = Upstream::start(|exchange| issue(exchange, r#","expires_in":2"#));
    let upstream = Upstream::ok();
    let subject = file("renew", &token(50));
    let more = format!(
        "subject: {{ file: '{}' }}, renew: exchange",
        subject.display()
    );
    let proxy = start(&server, &more, &upstream);
    until("it is renewed", || {
        assert_eq!(proxy.get("/").status(), 200);
        server.requests().len() >= 2
    });
    let request = &server.requests()[1];
    assert_eq!(
        request.header("authorization"),
        Some(&*format!("Bearer {}", token(1)))
    );
    let asked = form(request);
    assert_eq!(asked["subject_token"], token(1));
    assert_eq!(asked["subject_token_type"], format!("{URN}:access_token"));
    assert!(!asked.contains_key("client_id") && !asked.contains_key("actor_token"));
}

#[test]
fn where_that_is_refused_the_chain_begins_anew() {
    let server = Upstream::start(|exchange| match exchange.request.header("authorization") {
        Some(_) => json(exchange, 400, r#"{"error":"unsupported_grant_type"}"#),
        None => issue(exchange, r#","expires_in":2"#),
    });
    let upstream = Upstream::ok();
    let subject = file("anew", &token(50));
    let more = format!(
        "subject: {{ file: '{}' }}, renew: exchange",
        subject.display()
    );
    let proxy = start(&server, &more, &upstream);
    until("it is renewed", || {
        assert_eq!(proxy.get("/").status(), 200);
        bearers(&upstream).last() == Some(&token(3))
    });
    assert_eq!(form(&server.requests()[2])["subject_token"], token(50));
}

#[test]
fn a_refused_token_is_not_exchanged_but_the_chain_begins_anew() {
    let server = Upstream::start(|exchange| issue(exchange, ""));
    let upstream = refusing(&[1]);
    let subject = file("refused", &token(50));
    let more = format!(
        "subject: {{ file: '{}' }}, renew: exchange",
        subject.display()
    );
    let proxy = start(&server, &more, &upstream);
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(form(&server.requests()[1])["subject_token"], token(50));
}

#[test]
fn what_is_issued_does_not_outlive_its_subject() {
    let server = Upstream::start(|exchange| issue(exchange, r#","expires_in":3600"#));
    let upstream = Upstream::ok();
    let subject = file("short", &jwt(Duration::from_secs(60)));
    let proxy = start(
        &server,
        &format!("subject: {{ file: '{}' }}", subject.display()),
        &upstream,
    );
    assert_eq!(proxy.get("/").status(), 200);
    let views = proxy.app.credentials().views();
    let main = views.iter().find(|view| &*view.name == "main").unwrap();
    let left = main.expires_in.unwrap();
    assert!(left <= Duration::from_secs(60), "{left:?}");
}

#[test]
fn an_exchange_of_the_token_itself_ends_with_the_subject() {
    let server = Upstream::start(|exchange| issue(exchange, r#","expires_in":3600"#));
    let upstream = Upstream::ok();
    let subject = file("ends", &jwt(Duration::from_secs(4)));
    let more = format!(
        "subject: {{ file: '{}' }}, renew: exchange",
        subject.display()
    );
    let proxy = start(&server, &more, &upstream);
    let mut answers = Vec::new();
    until("nothing is to be had", || {
        let answer = proxy.get("/");
        answers.push(answer.status());
        answer.status() != 200
    });
    assert_eq!(answers.last(), Some(&502), "the subject has expired");
}

#[test]
fn what_is_no_access_token_is_refused() {
    let server = Upstream::start(|exchange| {
        let body = format!(r#"{{"access_token":"{}","token_type":"N_A"}}"#, token(1));
        json(exchange, 200, &body);
    });
    let upstream = Upstream::ok();
    let subject = file("na", &token(50));
    let proxy = start(
        &server,
        &format!("subject: {{ file: '{}' }}", subject.display()),
        &upstream,
    );
    let answer = proxy.get("/");
    assert_eq!(
        (answer.code().as_str(), upstream.count()),
        ("token_malformed", 0)
    );
    assert!(String::from_utf8_lossy(&answer.body).contains("N_A"));
}

#[test]
fn a_catalogs_token_is_shown_in_the_clients_place_and_had_anew_when_refused() {
    for (name, more) in [
        ("actor", "actor: { credential: catalog }, bearer: actor"),
        ("other", "bearer: { credential: catalog }"),
    ] {
        let server = Upstream::start(|exchange| match exchange.request.header("authorization") {
            Some(old) if *old == format!("Bearer {}", token(1)) => {
                json(exchange, 401, r#"{"error":"invalid_client"}"#)
            }
            _ => issue(exchange, ""),
        });
        let upstream = Upstream::ok();
        let subject = file(name, &token(50));
        let more = format!("subject: {{ file: '{}' }}, {more}", subject.display());
        let proxy = start(&server, &more, &upstream);
        assert_eq!(proxy.get("/").status(), 200);
        // Catalog, refused exchange, catalog again, exchange.
        assert_eq!(bearers(&upstream), [token(4)]);
        let last = &server.requests()[3];
        let shown = format!("Bearer {}", token(3));
        assert_eq!(last.headers("authorization"), [shown]);
        let asked = form(last);
        assert_eq!(asked["subject_token"], token(50));
        assert_eq!(asked.contains_key("actor_token"), name == "actor");
        assert!(!asked.contains_key("client_id"));
    }
}
