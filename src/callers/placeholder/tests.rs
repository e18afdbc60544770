use super::*;
use crate::callers::Identity;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn named(name: &str) -> Caller {
    Caller::Known(Arc::new(Identity::named(name)))
}

fn user(name: &str, subject: &str) -> Caller {
    Caller::Known(Arc::new(Identity {
        subject: Some(subject.into()),
        ..Identity::named(name)
    }))
}

fn batch() -> Caller {
    named("batch")
}

fn pod() -> Placeholders {
    Placeholders::new("pod", None, HOUR)
}

/// A token with this header and these claims, signed with the key of [`pod`].
fn forged(header: &str, claims: &str) -> Vec<u8> {
    let mut token = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let signature = hmac::sign(&pod().key, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token.into_bytes()
}

#[test]
fn a_placeholder_is_good_for_its_caller_and_credential_until_it_expires() {
    for caller in [batch(), Caller::Anonymous] {
        let token = pod().issue(&caller, NOW);
        let token = token.expose().as_bytes();
        assert_eq!(pod().check(token, &caller, NOW), Ok(()));
        assert_eq!(
            pod().check(token, &caller, NOW + HOUR - Duration::from_secs(1)),
            Ok(())
        );
        assert_eq!(
            pod().check(token, &caller, NOW + HOUR),
            Err(PlaceholderRefused::Expired)
        );
    }
}

#[test]
fn another_caller_and_another_credential_are_refused() {
    let token = pod().issue(&batch(), NOW);
    let token = token.expose().as_bytes();
    for other in [
        Caller::Anonymous,
        named("web"),
        user("batch", "ada"),
        named(""),
    ] {
        assert_eq!(
            pod().check(token, &other, NOW),
            Err(PlaceholderRefused::OtherCaller)
        );
    }
    let files = Placeholders::new("files", None, HOUR);
    assert_eq!(
        files.check(token, &batch(), NOW),
        Err(PlaceholderRefused::OtherCredential)
    );
    let anonymous = pod().issue(&Caller::Anonymous, NOW);
    assert_eq!(
        pod().check(anonymous.expose().as_bytes(), &batch(), NOW),
        Err(PlaceholderRefused::OtherCaller)
    );
}

#[test]
fn two_users_of_one_caller_do_not_share_placeholders() {
    let token = pod().issue(&user("portal", "ada"), NOW);
    let check = |caller| pod().check(token.expose().as_bytes(), &caller, NOW);
    assert_eq!(check(user("portal", "ada")), Ok(()));
    for other in [user("portal", "bob"), named("portal"), named("ada")] {
        assert_eq!(check(other), Err(PlaceholderRefused::OtherCaller));
    }
}

#[test]
fn no_altered_byte_passes() {
    let token = pod().issue(&batch(), NOW);
    let token = token.expose().as_bytes();
    for at in 0..token.len() {
        let mut altered = token.to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            pod().check(&altered, &batch(), NOW),
            Err(PlaceholderRefused::Unknown),
            "byte {at}"
        );
    }
    for length in 0..token.len() {
        assert!(
            pod().check(&token[..length], &batch(), NOW).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn no_other_header_is_taken_even_with_a_right_signature() {
    let claims = |token: &[u8]| {
        let claims = token
            .split(|byte| *byte == b'.')
            .nth(1)
            .map(|it| URL_SAFE_NO_PAD.decode(it));
        String::from_utf8(claims.unwrap().unwrap()).unwrap()
    };
    let good = pod().issue(&batch(), NOW);
    let claims = claims(good.expose().as_bytes());
    let ours = forged(r#"{"alg":"HS256","typ":"JWT"}"#, &claims);
    assert_eq!(ours, good.expose().as_bytes());
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS512","typ":"JWT"}"#,
        "",
    ] {
        let token = forged(header, &claims);
        assert_eq!(find(&token).count(), 1, "{header}");
        assert!(pod().check(&token, &batch(), NOW).is_err(), "{header}");
    }
    let unsigned = [
        &ours[..=ours.iter().rposition(|byte| *byte == b'.').unwrap()],
        b"",
    ]
    .concat();
    assert!(pod().check(&unsigned, &batch(), NOW).is_err());
}

#[test]
fn a_given_key_knows_placeholders_of_other_processes_and_no_other_key_does() {
    let with = |key: &str| Placeholders::new("pod", Some(&Secret::new(key)), HOUR);
    let token = with("one").issue(&batch(), NOW);
    let token = token.expose().as_bytes();
    assert_eq!(with("one").check(token, &batch(), NOW), Ok(()));
    for other in [with("two"), pod()] {
        assert_eq!(
            other.check(token, &batch(), NOW),
            Err(PlaceholderRefused::Unknown)
        );
    }
}

#[test]
fn what_the_given_key_signs_elsewhere_is_no_placeholder() {
    let placeholders = Placeholders::new("pod", Some(&Secret::new("one")), HOUR);
    let token = placeholders.issue(&batch(), NOW);
    let (signed, _) = token.expose().rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"one");
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    let elsewhere = format!("{signed}.{signature}");
    assert_eq!(
        placeholders.check(elsewhere.as_bytes(), &batch(), NOW),
        Err(PlaceholderRefused::Unknown)
    );
}

#[test]
fn a_placeholder_is_found_in_whatever_it_stands_in() {
    let token = pod().issue(&batch(), NOW);
    let token = token.expose();
    for (before, after) in [
        ("", ""),
        ("Bearer ", ""),
        ("a.b; session=", "; c=d.e"),
        ("x=1&access_token=", "&y=2.5"),
        ("\"", "\", "),
    ] {
        let value = format!("{before}{token}{after}");
        let found: Vec<_> = find(value.as_bytes()).collect();
        assert_eq!(found, [token.as_bytes()], "{value}");
    }
    let two = format!("{token},{token}");
    assert_eq!(find(two.as_bytes()).count(), 2);
    let foreign =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIn0.c2ln";
    for other in ["", ".", "...", foreign] {
        assert_eq!(find(other.as_bytes()).count(), 0, "{other}");
    }
}

#[test]
fn a_long_text_is_no_placeholder() {
    let token = [
        pod().issue(&batch(), NOW).expose(),
        "A".repeat(MOST_BYTES).as_str(),
    ]
    .concat();
    let of_length = |length: usize| {
        let exp = (NOW + HOUR).as_secs();
        let fill = "A".repeat(length);
        let claims = format!(
            r#"{{"iss":"{ISSUER}","aud":"pod","sub":"batch","iat":0,"exp":{exp},"fill":"{fill}"}}"#
        );
        forged(r#"{"alg":"HS256","typ":"JWT"}"#, &claims)
    };
    assert_eq!(pod().check(&of_length(100), &batch(), NOW), Ok(()));
    // Whoever signed it: nobody else has the key, and no placeholder of ours is as long.
    for token in [token.into_bytes(), of_length(MOST_BYTES)] {
        assert_eq!(
            pod().check(&token, &batch(), NOW),
            Err(PlaceholderRefused::Unknown)
        );
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(
        format!("{:?}", pod()),
        r#"Placeholders { credential: "pod", lifetime: 3600s, .. }"#
    );
}
