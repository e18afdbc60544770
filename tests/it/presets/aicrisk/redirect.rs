//! The answer to a request for a code: which redirect is one, and which brings nothing.

use std::collections::HashMap;

use super::{CALLBACK, CODE, TOKEN};
use crate::{
    presets::{asked, count, json, proxy},
    support::{Exchange, TestProxy, Upstream, token},
};

fn client(more: &str) -> String {
    super::client(&format!(", userid: jo{more}"))
}

type Parameters = HashMap<String, String>;

/// An installation whose answer to a request for a code is this.
fn vendor(code: impl Fn(&mut Exchange<'_>, &Parameters) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| {
        let target = exchange.request.second().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        match path {
            CODE => code(exchange, &query),
            TOKEN => json(
                exchange,
                200,
                &format!(r#"{{"access_token":"{}"}}"#, token(9)),
            ),
            _ => exchange.answer(200, "", "ok"),
        }
    })
}

fn redirect(exchange: &mut Exchange<'_>, location: &str) {
    exchange.answer(302, &format!("Location: {location}\r\n"), "");
}

/// What a client gets that wants the generic token.
fn ask(proxy: &TestProxy) -> (u16, String) {
    let answer = proxy.get("/api/Users/ListUsers");
    match answer.status() {
        200 => (200, String::new()),
        status => (status, answer.code()),
    }
}

fn malformed() -> (u16, String) {
    (502, "token_malformed".into())
}

#[test]
fn every_status_of_a_redirect_will_do() {
    for status in [301, 302, 303, 307, 308] {
        let vendor = vendor(move |exchange, _| {
            let location = format!("Location: {CALLBACK}?code={}\r\n", token(1));
            exchange.answer(status, &location, "");
        });
        let proxy = proxy("aicrisk", &client(""), &vendor);
        assert_eq!(ask(&proxy).0, 200, "{status}");
    }
}

#[test]
fn a_location_is_read_from_the_request_s_url_and_compared_part_by_part() {
    for (redirect_uri, location) in [
        ("VENDOR/api/callback", "callback?code=CODE"),
        ("VENDOR/callback", "/callback?code=CODE"),
        ("VENDOR/callback", "../callback?code=CODE"),
        (
            "https://localhost/callback",
            "HTTPS://LocalHost:443/callback?code=CODE",
        ),
        (
            "https://localhost/callback",
            "https://localhost/callback?code=CODE#top",
        ),
        (
            "https://localhost:443/callback",
            "https://localhost/x/../callback?code=CODE",
        ),
    ] {
        let vendor =
            vendor(move |exchange, _| redirect(exchange, &location.replace("CODE", &token(1))));
        let with = client("").replace(CALLBACK, redirect_uri);
        let proxy = proxy("aicrisk", &with, &vendor);
        assert_eq!(ask(&proxy).0, 200, "{location}");
        assert_eq!(count(&vendor, TOKEN), 1);
    }
}

#[test]
fn a_redirect_to_elsewhere_brings_no_code() {
    for location in [
        "http://localhost/callback",
        "https://localhost.example/callback",
        "https://localhost:8443/callback",
        "https://localhost/callback/",
        "https://localhost/Callback",
        "https://user@localhost/callback",
        "/callback",
        "callback",
        "//[",
    ] {
        let vendor = vendor(move |exchange, _| {
            redirect(exchange, &format!("{location}?code={}", token(1)));
        });
        let proxy = proxy("aicrisk", &client(", state: send"), &vendor);
        assert_eq!(ask(&proxy), malformed(), "{location}");
        assert_eq!(vendor.count(), 1, "{location}: {:?}", asked(&vendor));
    }
}

#[test]
fn two_codes_and_two_redirects_are_none() {
    for fields in [
        format!(
            "Location: {CALLBACK}?code={}&code={}\r\n",
            token(1),
            token(2)
        ),
        format!(
            "Location: {CALLBACK}?code={}&%63ode={}\r\n",
            token(1),
            token(1)
        ),
        format!(
            "Location: {CALLBACK}?code={0}\r\nLocation: https://localhost/x?code={0}\r\n",
            token(1)
        ),
        format!("Location: {CALLBACK}\r\n"),
    ] {
        let vendor = vendor(move |exchange, _| exchange.answer(302, &fields, ""));
        let proxy = proxy("aicrisk", &client(""), &vendor);
        assert_eq!(ask(&proxy), malformed());
        assert_eq!(vendor.count(), 1);
    }
    let vendor = vendor(|exchange, _| {
        let location = format!("Location: {CALLBACK}?code=a&code=b\r\n");
        exchange.answer(302, &location, r#"{"code":"c"}"#);
    });
    let proxy = proxy("aicrisk", &client(""), &vendor);
    assert_eq!(ask(&proxy), malformed(), "nor does the body help");
}

#[test]
fn an_error_in_the_redirect_is_a_refusal() {
    let vendor = vendor(|exchange, asked| {
        let state = &asked["state"];
        let words = format!("error=access_denied&error_description=No+such+client&state={state}");
        redirect(exchange, &format!("{CALLBACK}?{words}&code=x"));
    });
    let proxy = proxy("aicrisk", &client(", state: send"), &vendor);
    for _ in 0..3 {
        let answer = proxy.get("/api/Users/ListUsers");
        assert_eq!(answer.code(), "token_rejected");
        let told = answer.text();
        assert!(
            told.contains("the redirect says error access_denied"),
            "{told}"
        );
        assert!(
            !told.contains("No such client"),
            "for operators alone: {told}"
        );
    }
    assert_eq!(vendor.count(), 1, "{:?}", asked(&vendor));
}

#[test]
fn an_error_that_passes_by_itself_is_no_refusal() {
    let vendor = vendor(|exchange, _| {
        redirect(
            exchange,
            &format!("{CALLBACK}?error=temporarily_unavailable"),
        );
    });
    let proxy = proxy("aicrisk", &client(""), &vendor);
    assert_eq!(ask(&proxy), (503, "token_unavailable".into()));
}

#[test]
fn a_state_is_sent_where_it_is_wanted_and_a_new_one_each_time() {
    let states = |vendor: &Upstream| -> Vec<Option<String>> {
        let lines = asked(vendor)
            .into_iter()
            .filter(|it| it.contains("/api/oauth2?"));
        lines
            .map(|it| Some(it.split_once("&state=")?.1.to_owned()))
            .collect()
    };
    let good = || {
        vendor(|exchange, asked| {
            let state = asked.get("state").map(|state| format!("&state={state}"));
            redirect(
                exchange,
                &format!("{CALLBACK}?code=c{}", state.unwrap_or_default()),
            );
        })
    };
    let vendor = good();
    let proxy = proxy("aicrisk", &client(""), &vendor);
    assert_eq!(ask(&proxy).0, 200);
    assert_eq!(states(&vendor), [None]);
    let vendor = good();
    let proxy = crate::presets::proxy("aicrisk", &client(", state: send"), &vendor);
    assert_eq!(proxy.get("/api/x").status(), 200);
    let states = states(&vendor);
    assert_eq!(states.len(), 2);
    assert!(states[0].as_ref().is_some_and(|state| state.len() >= 22));
    assert_ne!(states[0], states[1]);
}

#[test]
fn a_redirect_without_the_very_state_brings_no_code() {
    for answer in [
        "",
        "&state=",
        "&state=STATEx",
        "&state=another",
        "&state=STATE&state=STATE",
        "#state=STATE",
    ] {
        let vendor = vendor(move |exchange, asked| {
            let answer = answer.replace("STATE", &asked["state"]);
            redirect(exchange, &format!("{CALLBACK}?code=c{answer}"));
        });
        let proxy = proxy("aicrisk", &client(", state: send"), &vendor);
        assert_eq!(ask(&proxy), malformed(), "{answer}");
        assert_eq!(count(&vendor, TOKEN), 0);
    }
}

#[test]
fn a_code_in_the_body_needs_its_state_as_well() {
    for (answer, status) in [
        (r#"{"code":"c","state":"STATE"}"#, 200),
        (r#"{"code":"c","state":"other"}"#, 502),
        (r#"{"code":"c"}"#, 502),
    ] {
        let vendor = vendor(move |exchange, asked| {
            json(exchange, 200, &answer.replace("STATE", &asked["state"]))
        });
        let proxy = proxy("aicrisk", &client(", state: send"), &vendor);
        assert_eq!(ask(&proxy).0, status, "{answer}");
    }
}
