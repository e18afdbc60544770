//! `file`: what is in the file now.

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{bearers, proxy};
use crate::support::{Upstream, token, until};

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("it/{name}.token"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn jwt(exp: u64) -> String {
    let payload = format!(r#"{{"exp":{exp},"jti":"{}"}}"#, token(1));
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn a_changed_file_is_read_again_and_its_line_break_is_cut() {
    let path = file("changes", &format!("{}\n", token(1)));
    let upstream = Upstream::ok();
    let proxy = proxy(&format!("{{ file: '{}' }}", path.display()), &upstream);
    proxy.get("/");
    assert_eq!(bearers(&upstream), [token(1)]);
    fs::write(&path, format!("{}\r\n", token(2))).unwrap();
    until("the new token is sent", || {
        proxy.get("/");
        bearers(&upstream).last() == Some(&token(2))
    });
}

#[test]
fn an_expired_jwt_is_never_sent() {
    let path = file("expired", &jwt(1_000_000_000));
    let upstream = Upstream::ok();
    let proxy = proxy(
        &format!("{{ file: {{ path: '{}' }} }}", path.display()),
        &upstream,
    );
    let answer = proxy.get("/");
    assert_eq!((answer.status(), &*answer.code()), (502, "token_malformed"));
    assert_eq!(upstream.count(), 0);
    let good = jwt(4_000_000_000);
    fs::write(&path, &good).unwrap();
    until("the good token is sent", || proxy.get("/").status() == 200);
    assert_eq!(bearers(&upstream), [good]);
    let expires = proxy.app.credentials().views()[0].expires_in;
    assert!(expires.is_some(), "the JWT says when");
}

#[test]
fn a_file_that_is_missing_or_holds_no_token_is_named() {
    let path = file("odd", "two words");
    let upstream = Upstream::ok();
    let proxy = proxy(&format!("{{ file: '{}' }}", path.display()), &upstream);
    let answer = proxy.get("/");
    assert_eq!(answer.code(), "token_malformed");
    assert!(String::from_utf8_lossy(&answer.body).contains("odd.token"));
    fs::remove_file(&path).unwrap();
    until("it is missed", || {
        proxy.get("/").code() == "token_unavailable"
    });
    assert_eq!(upstream.count(), 0);
}
