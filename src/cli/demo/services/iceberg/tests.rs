use super::{
    super::testing::{self, Seen, get, seen},
    *,
};

const PRINCIPAL: Client = Client {
    id: "loader",
    secret: "s",
};
const GOOD: &str = "grant_type=client_credentials&client_id=loader&client_secret=s&scope=catalog";
const TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn ask(catalog: &Iceberg, headers: &[(&str, &str)], form: &str) -> Seen {
    seen(catalog.answer(&testing::form("/v1/oauth/tokens", headers, form)))
}

fn own(catalog: &Iceberg) -> String {
    ask(catalog, &[], GOOD).field("access_token")
}

fn unsecured(claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims))
}

fn exchange(subject: &str, kind: &str) -> String {
    format!("grant_type={EXCHANGE}&subject_token={subject}&subject_token_type={kind}")
}

#[tokio::test]
async fn the_answer_is_the_standard_s_in_lower_case() {
    let catalog = Iceberg::new(PRINCIPAL);
    let answer = ask(&catalog, &[], GOOD);
    assert!(answer.is(200, r#""token_type":"bearer""#), "{answer:?}");
    assert_eq!(answer.field("issued_token_type"), TOKEN);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_has_a_code() {
    let catalog = Iceberg::new(PRINCIPAL);
    for (form, status, code) in [
        (GOOD.replace("secret=s", "secret=t"), 401, "invalid_client"),
        (
            GOOD.replace("scope=catalog", "scope=all"),
            400,
            "invalid_scope",
        ),
        (GOOD.replace("&scope=catalog", ""), 400, "invalid_scope"),
        (
            GOOD.replace("client_credentials", "password"),
            400,
            "unsupported_grant_type",
        ),
        (format!("{GOOD}&scope=catalog"), 400, "invalid_request"),
    ] {
        let answer = ask(&catalog, &[], &form);
        assert!(answer.is(status, code), "{form}: {answer:?}");
    }
    let json = testing::json("/v1/oauth/tokens", &[], "{}");
    assert!(seen(catalog.answer(&json)).is(400, "invalid_request"));
}

#[tokio::test]
async fn a_client_is_authenticated_in_one_way_only() {
    let catalog = Iceberg::new(PRINCIPAL);
    let bearer = format!("Bearer {}", own(&catalog));
    let both = ask(&catalog, &[("authorization", &bearer)], GOOD);
    assert!(both.is(400, "invalid_request"), "{both:?}");
    let form = exchange(&own(&catalog), TOKEN) + "&client_id=loader&client_secret=s";
    let both = ask(&catalog, &[("authorization", &bearer)], &form);
    assert!(both.is(400, "invalid_request"), "{both:?}");
}

#[tokio::test]
async fn an_exchange_wants_the_catalog_s_bearer() {
    let catalog = Iceberg::new(PRINCIPAL);
    let form = exchange(&unsecured(r#"{"sub":"alice"}"#), JWT);
    assert!(ask(&catalog, &[], &form).is(401, "invalid_client"));
    let made_up = [("authorization", "Bearer made-up")];
    assert!(ask(&catalog, &made_up, &form).is(401, "invalid_client"));
    let bearer = format!("Bearer {}", own(&catalog));
    let good = ask(&catalog, &[("authorization", &bearer)], &form);
    let token = good.field("access_token");
    assert_eq!(catalog.tokens.holder(&token).as_deref(), Some("alice"));
}

#[tokio::test]
async fn subject_and_actor_come_with_their_types() {
    let catalog = Iceberg::new(PRINCIPAL);
    let own = own(&catalog);
    let bearer = format!("Bearer {own}");
    let ask = |form: &str| ask(&catalog, &[("authorization", &bearer)], form);
    let subject = exchange(&unsecured(r#"{"sub":"alice"}"#), JWT);
    let good = format!("{subject}&actor_token={own}&actor_token_type={TOKEN}");
    assert_eq!(ask(&good).status, 200);
    for (form, code) in [
        (
            subject.replace(&format!("&subject_token_type={JWT}"), ""),
            "invalid_request",
        ),
        (exchange("x", "access_token"), "invalid_request"),
        (format!("grant_type={EXCHANGE}"), "invalid_request"),
        (format!("{subject}&actor_token={own}"), "invalid_request"),
        (
            good.replace(&format!("actor_token={own}"), "actor_token=x"),
            "invalid_grant",
        ),
        (exchange("opaque-and-unknown", TOKEN), "invalid_grant"),
        (exchange(&unsecured("{}"), JWT), "invalid_grant"),
        (
            exchange(&unsecured(r#"{"sub":"a","exp":1}"#), JWT),
            "invalid_grant",
        ),
    ] {
        let answer = ask(&form);
        assert!(answer.is(400, code), "{form}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_by_its_own_exchange() {
    let catalog = Iceberg::new(PRINCIPAL);
    let own = own(&catalog);
    let bearer = format!("Bearer {own}");
    let renewed = ask(
        &catalog,
        &[("authorization", &bearer)],
        &exchange(&own, TOKEN),
    );
    let token = renewed.field("access_token");
    assert_ne!(token, own);
    assert_eq!(catalog.tokens.holder(&token).as_deref(), Some("loader"));
    catalog.tokens.expire_all();
    let late = ask(
        &catalog,
        &[("authorization", &bearer)],
        &exchange(&own, TOKEN),
    );
    assert!(late.is(401, "invalid_client"), "{late:?}");
}

#[tokio::test]
async fn a_user_s_token_does_not_outlive_what_it_was_made_from() {
    let catalog = Iceberg::new(PRINCIPAL);
    let bearer = format!("Bearer {}", own(&catalog));
    let exp = crate::clock::unix_time().as_secs() + 100;
    let form = exchange(
        &unsecured(&format!(r#"{{"sub":"alice","exp":{exp}}}"#)),
        JWT,
    );
    let answer = ask(&catalog, &[("authorization", &bearer)], &form);
    let life: u64 = answer.field("expires_in").parse().expect("a number");
    assert!((98..=100).contains(&life), "{life}");
}

#[tokio::test]
async fn the_catalog_tells_expired_from_unknown() {
    let catalog = Iceberg::new(PRINCIPAL);
    let bearer = format!("Bearer {}", own(&catalog));
    let call = |bearer: &str| {
        let request = get("/v1/namespaces", &[("authorization", bearer)]);
        seen(catalog.answer(&request))
    };
    assert_eq!(call(&bearer).status, 200);
    assert!(call("Bearer made-up").is(401, r#"{"error":{"message""#));
    catalog.tokens.expire_all();
    assert!(call(&bearer).is(419, "AuthenticationTimeoutException"));
}
