//! `brightpattern`: a user's API secret in a form, and an account that wrong secrets lock.

use std::time::Duration;

use super::{asked, count, fields, json, life, only, proxy};
use crate::support::{Exchange, SECRET, Upstream, token};

const TOKEN: &str = "/configapi/v2/oauth/token";

const USER: &str = "url: VENDOR, tenant: acme.brightpattern.com, client_id: sheila.thomas@acme, \
                    client_secret: { env: SECRET }";

/// A tenant that takes the newest token; `api` answers by it all else.
fn tenant(api: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| {
        let number = exchange.number + 1;
        if !exchange.request.second().ends_with("/oauth/token") {
            return api(exchange);
        }
        // The life is a text, and the comma behind it one too many, as the vendor prints it.
        let token = token(number);
        let body = format!(
            "{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"scope\":\"acme.brightpattern.com\",\n\
             \"expires_in\":\"3480\",}}"
        );
        json(exchange, 200, &body);
    })
}

fn ok(exchange: &mut Exchange<'_>) {
    exchange.answer(200, "", "ok");
}

fn secret() -> String {
    form_urlencoded::byte_serialize(SECRET.as_bytes()).collect()
}

#[test]
fn everything_stands_in_the_form_and_the_answer_is_understood() {
    let tenant = tenant(ok);
    let proxy = proxy("brightpattern", USER, &tenant);
    for path in [
        "/configapi/v2/user",
        "/taskroutingapi/v1/tasks",
        "/clientweb/smsapi/v1/x",
    ] {
        assert_eq!(proxy.get(path).status(), 200, "{path}");
        let carried = only(&tenant, path);
        assert_eq!(
            fields(&carried),
            [format!("authorization: Bearer {}", token(1))]
        );
    }
    let call = only(&tenant, TOKEN);
    assert_eq!(call.start, format!("POST {TOKEN} HTTP/1.1"));
    assert_eq!(
        call.text(),
        format!(
            "grant_type=client_credentials&client_id=sheila.thomas%40acme&client_secret={}&scope=acme.brightpattern.com",
            secret()
        )
    );
    assert_eq!(
        fields(&call),
        [
            "accept: application/json".to_owned(),
            format!("content-length: {}", call.body.len()),
            "content-type: application/x-www-form-urlencoded".into(),
        ]
    );
    // The end that is said is what is left of an older token's.
    let left = life(&proxy, "main").unwrap();
    assert!(
        left <= Duration::from_secs(3480) && left > Duration::from_secs(3460),
        "{left:?}"
    );
}

#[test]
fn older_releases_and_list_management_are_asked_in_their_own_way() {
    for (more, path, param) in [
        (", version: v3", "/configapi/v3/oauth/token", "scope"),
        (", tenant_param: tenant", TOKEN, "tenant"),
        (
            ", version: v3, tenant_param: tenant",
            "/configapi/v3/oauth/token",
            "tenant",
        ),
    ] {
        let tenant = tenant(ok);
        let proxy = proxy("brightpattern", &format!("{USER}{more}"), &tenant);
        assert_eq!(proxy.get("/configapi/v3/lists").status(), 200, "{more}");
        let form = only(&tenant, path).text();
        let (other, last) = (["scope=", "tenant="], form.rsplit('&').next().unwrap());
        assert_eq!(last, format!("{param}=acme.brightpattern.com"), "{more}");
        assert_eq!(
            other.iter().filter(|it| form.contains(**it)).count(),
            1,
            "{form}"
        );
    }
}

/// Whatever a refusal looks like: five of them may lock the user out.
#[test]
fn a_refused_secret_is_tried_again_after_twenty_minutes() {
    for (status, body) in [
        (401, ""),
        (401, "<html>Unauthorized</html>"),
        (
            400,
            r#"{"error":"bad_request","error_description":"Wrong credentials"}"#,
        ),
        (403, ""),
    ] {
        let tenant = Upstream::start(move |exchange| exchange.answer(status, "", body));
        let proxy = proxy("brightpattern", USER, &tenant);
        for _ in 0..10 {
            let answer = proxy.get("/configapi/v2/user");
            assert_eq!(
                (answer.status(), &*answer.code()),
                (502, "token_rejected"),
                "{status}"
            );
            let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1150..=1200).contains(&after), "{status}: {after}");
        }
        assert_eq!(asked(&tenant), [format!("POST {TOKEN}")], "{status}");
    }
}

#[test]
fn of_the_refusals_of_task_routing_only_a_401_renews() {
    let said = |code: u8, message: &str| format!(r#"{{"code":{code},"message":"{message}"}}"#);
    for (status, body, renewed) in [
        (401, said(1, "Authentication failed"), true),
        (401, said(2, "Access token expired"), true),
        (403, said(3, "Insufficient privileges"), false),
        (400, said(5, "Task already in queue"), false),
        (429, said(12, "Too many requests"), false),
        (502, said(11, "Service unavailable"), false),
    ] {
        let tenant = tenant({
            let body = body.clone();
            move |exchange| match exchange.number {
                1 => exchange.answer(status, "", &body),
                _ => exchange.answer(200, "", "queued"),
            }
        });
        let proxy = proxy("brightpattern", USER, &tenant);
        let answer = proxy.post("/taskroutingapi/v1/tasks", br#"{"task":1}"#);
        let expected = match renewed {
            true => (200, "queued".to_owned()),
            false => (status, body),
        };
        assert_eq!((answer.status(), answer.text()), expected);
        let calls = (
            count(&tenant, TOKEN),
            count(&tenant, "/taskroutingapi/v1/tasks"),
        );
        assert_eq!(calls, if renewed { (2, 2) } else { (1, 1) }, "{status}");
    }
}

#[test]
fn clients_come_to_no_login_whatever_its_age() {
    let tenant = tenant(ok);
    let proxy = proxy("brightpattern", USER, &tenant);
    for path in [TOKEN, "/configapi/v2/oauth/token/", "/statsapi/auth"] {
        let answer = proxy.post(path, b"grant_type=client_credentials");
        assert_eq!(answer.code(), "token_endpoint_denied", "{path}");
    }
    assert_eq!(asked(&tenant), [""; 0]);
}
