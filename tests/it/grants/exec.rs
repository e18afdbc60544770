//! `exec`: programs that print tokens, and programs that do otherwise.

use std::{fs, path::PathBuf, time::Duration};

use bearerd::clock::now;

use super::{bearers, proxy};
use crate::support::{Upstream, token, until};

/// What the client is told when the shell runs `script`, and the token that went upstream.
#[track_caller]
fn run(script: &str, more: &str) -> (String, Vec<String>) {
    let upstream = Upstream::ok();
    let kind = format!("{{ exec: {{ command: [sh, -c, {script:?}], {more} }} }}");
    let proxy = proxy(&kind, &upstream);
    let answer = proxy.get("/");
    (
        String::from_utf8_lossy(&answer.body).into_owned(),
        bearers(&upstream),
    )
}

/// What an operator is told when the shell runs `script`, and what the client is.
#[track_caller]
fn failing(script: &str, more: &str) -> (String, String) {
    let kind = format!("{{ exec: {{ command: [sh, -c, {script:?}], {more} }} }}");
    let proxy = proxy(&kind, &Upstream::ok());
    let answer = proxy.get("/");
    let snapshot = proxy.app.snapshot().load();
    let credential = snapshot.table.values()[0].credential.as_ref().unwrap();
    let failure = credential.handle.account().failure.unwrap();
    let answer = String::from_utf8_lossy(&answer.body).into_owned();
    (failure.to_string(), answer)
}

#[test]
fn a_bare_token_is_sent_and_kept_for_an_hour() {
    let upstream = Upstream::ok();
    let proxy = proxy(&format!("{{ exec: [echo, {}] }}", token(1)), &upstream);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(bearers(&upstream), [token(1), token(1), token(1)]);
    let view = &proxy.app.credentials().views()[0];
    assert_eq!(view.counters.fetches, 1);
    let left = view.expires_in.unwrap();
    assert!((3500..=3600).contains(&left.as_secs()), "{left:?}");
}

#[test]
fn json_says_how_long_it_lives_and_the_environment_is_given() {
    let script = r#"echo "{\"token\": \"$GIVEN\", \"expires_in\": 90}""#;
    let upstream = Upstream::ok();
    let proxy = proxy(
        &format!(
            "{{ exec: {{ command: [sh, -c, '{script}'], env: {{ GIVEN: '{}' }} }} }}",
            token(1)
        ),
        &upstream,
    );
    proxy.get("/");
    assert_eq!(bearers(&upstream), [token(1)]);
    let left = proxy.app.credentials().views()[0].expires_in.unwrap();
    assert!((80..=90).contains(&left.as_secs()), "{left:?}");
}

#[test]
fn of_its_complaints_only_the_first_line_is_told_and_no_secret() {
    let (told, answer) = failing(
        "printf 'no such\\033[31m account\\nsecond\\n' >&2; exit 3",
        "",
    );
    assert!(told.contains("exit status: 3"), "{told}");
    assert!(told.ends_with("it says: no such?[31m account"), "{told}");
    // It may have quoted what it was given to read: that is not for everybody.
    assert!(answer.contains("exit status: 3"), "{answer}");
    assert!(!answer.contains("account"), "{answer}");

    let secret = token(7);
    for script in [
        // From its environment, and from what it printed.
        "echo \"bad: $GIVEN\" >&2; exit 1".to_owned(),
        "echo \"$GIVEN\"; echo \"bad: $GIVEN\" >&2; exit 1".to_owned(),
    ] {
        let (told, answer) = failing(&script, &format!("env: {{ GIVEN: '{secret}' }}"));
        assert!(told.contains("may hold a secret"), "{told}");
        assert!(!told.contains(&secret), "{told}");
        assert!(!answer.contains(&secret), "{answer}");
    }
    let (told, answer) = failing(
        &format!(
            "head -c 20 /dev/zero | tr '\\0' x; echo {} | tee /dev/stderr; exit 1",
            token(8)
        ),
        "",
    );
    assert!(!told.contains(&token(8)), "{told}");
    assert!(!answer.contains(&token(8)), "{answer}");
}

#[test]
fn one_that_prints_without_end_is_stopped() {
    let began = now();
    let (told, sent) = run("yes", "timeout: 5s");
    assert!(told.contains("more than 64 KiB"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(sent.is_empty());
}

#[test]
fn one_that_printed_too_much_is_not_waited_for() {
    let began = now();
    let (told, _) = run("yes | head -c 70000; exec sleep 30", "timeout: 20s");
    assert!(told.contains("more than 64 KiB"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn one_that_complains_without_end_stands_in_nobodys_way() {
    let script = format!("yes no | head -c 1000000 >&2 && echo {}", token(1));
    let (_, sent) = run(&script, "");
    assert_eq!(sent, [token(1)]);
}

#[test]
fn one_that_does_not_end_is_killed_with_all_that_it_started() {
    let note = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("it-exec-child.pid");
    let _ = fs::remove_file(&note);
    let script = format!("sleep 100 & echo $! > {}; wait", note.display());
    let (told, sent) = run(&script, "timeout: 500ms");
    assert!(told.contains("did not end within 500ms"), "{told}");
    assert!(sent.is_empty());
    let child = fs::read_to_string(&note).unwrap();
    let state = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    until("the child is gone", || {
        // Nobody may be there to bury it.
        fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let upstream = Upstream::ok();
    let proxy = proxy("{ exec: [/nowhere/gettoken] }", &upstream);
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (503, "token_unavailable")
    );
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(told.contains("program gettoken: it can't be run"), "{told}");
}
