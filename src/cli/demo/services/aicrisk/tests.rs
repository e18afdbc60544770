use super::{
    super::testing::{Seen, form, get, json, seen},
    *,
};

const CLIENT: Client = Client {
    id: "abc123",
    secret: "s",
};
const BACK: &str = "https://localhost/callback";
const STEP_1: &str = "/api/oauth2?client_id=abc123&redirect_uri=https%3A%2F%2Flocalhost%2Fcallback";
const STEP_2: &str =
    "client_id=abc123&client_secret=s&redirect_uri=https%3A%2F%2Flocalhost%2Fcallback&code=";

fn service() -> Aicrisk {
    Aicrisk::new(CLIENT, BACK)
}

/// The code and the affinity cookie that the first step brings.
fn code(service: &Aicrisk, more: &str, headers: &[(&str, &str)]) -> (String, String) {
    let answer = seen(service.answer(&get(&format!("{STEP_1}{more}"), headers)));
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.headers["location"].to_str().expect("a text");
    let code = location.split_once("?code=").expect("a code").1;
    let cookie = answer.headers["set-cookie"].to_str().expect("a text");
    let cookie = cookie.split(';').next().expect("a pair");
    (code.into(), cookie.into())
}

fn token(service: &Aicrisk, body: &str, headers: &[(&str, &str)]) -> Seen {
    seen(service.answer(&form("/api/oauth2/Token", headers, body)))
}

fn generic(service: &Aicrisk) -> String {
    let (code, cookie) = code(service, "", &[]);
    let answer = token(service, &format!("{STEP_2}{code}"), &[("cookie", &cookie)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    format!("Bearer {}", answer.field("access_token"))
}

#[tokio::test]
async fn a_code_becomes_a_token_that_ends_at_a_date() {
    let service = service();
    let (code, cookie) = code(&service, "", &[]);
    let answer = token(&service, &format!("{STEP_2}{code}"), &[("cookie", &cookie)]);
    let ends = answer.field("expiration");
    assert!(ends.starts_with("20") && ends.ends_with('Z'), "{ends}");
    assert!(answer.json().get("expires_in").is_none());
}

#[tokio::test]
async fn the_redirect_tells_the_state_again() {
    let answer = service().answer(&get(&format!("{STEP_1}&state=a%26b"), &[]));
    let location = answer.headers()["location"].to_str().expect("a text");
    assert!(location.starts_with(BACK) && location.ends_with("&state=a%26b"));
}

#[tokio::test]
async fn a_code_is_good_once() {
    let service = service();
    let (code, cookie) = code(&service, "", &[]);
    let ask = || token(&service, &format!("{STEP_2}{code}"), &[("cookie", &cookie)]);
    assert_eq!(ask().status, 200);
    let again = ask();
    assert!(again.is(400, "Invalid Code"), "{again:?}");
    assert_eq!(again.headers["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test(start_paused = true)]
async fn a_code_is_good_for_a_minute() {
    let service = service();
    let (code, cookie) = code(&service, "", &[]);
    tokio::time::advance(CODE_LIFE).await;
    let late = token(&service, &format!("{STEP_2}{code}"), &[("cookie", &cookie)]);
    assert!(late.is(400, "Invalid Code"), "{late:?}");
}

#[tokio::test]
async fn only_the_instance_that_made_the_code_knows_it() {
    let service = service();
    for cookie in ["", "ARRAffinity=another"] {
        let (code, _) = code(&service, "", &[]);
        let lost = token(&service, &format!("{STEP_2}{code}"), &[("cookie", cookie)]);
        assert!(lost.is(400, "Invalid Code"), "{lost:?}");
    }
}

#[tokio::test]
async fn a_redirect_uri_is_compared_as_it_stands() {
    let service = service();
    let other = STEP_1.replace("callback", "callback%2F");
    let refused = seen(service.answer(&get(&other, &[])));
    assert!(refused.is(401, "Unauthorized"), "{refused:?}");
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let (code, cookie) = code(&service, "", &[]);
    let other = format!("{STEP_2}{code}").replace("callback", "Callback");
    let refused = token(&service, &other, &[("cookie", &cookie)]);
    assert!(refused.is(400, "Invalid Code"), "{refused:?}");
}

#[tokio::test]
async fn the_old_name_of_the_redirect_uri_is_taken_too() {
    let service = service();
    let (code, cookie) = code(&service, "", &[]);
    let old = format!("{STEP_2}{code}").replace("redirect_uri", "response_uri");
    assert_eq!(token(&service, &old, &[("cookie", &cookie)]).status, 200);
}

#[tokio::test]
async fn a_missing_client_and_a_wrong_one_are_told_apart() {
    let service = service();
    let missing = seen(service.answer(&get("/api/oauth2", &[])));
    assert!(missing.is(400, "Invalid client_id"), "{missing:?}");
    let (code, cookie) = code(&service, "", &[]);
    let cookie = [("cookie", cookie.as_str())];
    let body = format!("{STEP_2}{code}");
    let missing = token(&service, &body.replace("client_id=abc123&", ""), &cookie);
    assert!(missing.is(400, "Invalid client_id"), "{missing:?}");
    let wrong = token(&service, &body.replace("secret=s", "secret=t"), &cookie);
    assert!(wrong.is(401, r#""title":"Unauthorized""#), "{wrong:?}");
}

#[tokio::test]
async fn a_user_is_asked_for_with_the_generic_token() {
    let service = service();
    let bare = service.answer(&get(&format!("{STEP_1}&userid=u1"), &[]));
    assert_eq!(bare.status(), 401);
    let generic = generic(&service);
    let bearer = ("authorization", generic.as_str());
    let accept = ("accept", "application/json");
    let ask = |user: &str, headers: &[(&str, &str)]| {
        let (code, cookie) = code(&service, "&userid=u1", &[bearer]);
        let headers = [&[("cookie", cookie.as_str())], headers].concat();
        token(&service, &format!("{STEP_2}{code}&userid={user}"), &headers)
    };
    assert_eq!(ask("u1", &[bearer, accept]).status, 200);
    assert!(ask("u2", &[bearer, accept]).is(400, "Invalid Code"));
    assert_eq!(ask("u1", &[accept]).status, 401);
    assert_eq!(ask("u1", &[bearer]).status, 401);
    let (code, cookie) = code(&service, "&userid=u1", &[bearer]);
    let lost = token(&service, &format!("{STEP_2}{code}"), &[("cookie", &cookie)]);
    assert!(lost.is(400, "Invalid Code"), "a user's code without user");
}

#[tokio::test]
async fn the_second_step_takes_json_too() {
    let service = service();
    let (code, cookie) = code(&service, "", &[]);
    let body = format!(
        r#"{{"client_id":"abc123","client_secret":"s","redirect_uri":"{BACK}","code":"{code}"}}"#
    );
    let post = json("/api/oauth2/Token", &[("cookie", &cookie)], &body);
    assert_eq!(service.answer(&post).status(), 200);
}

#[tokio::test]
async fn the_generic_token_opens_the_list_of_users_alone() {
    let service = service();
    let generic = generic(&service);
    let user = service.users.issue("abc".into(), "u1", LIFE);
    let user = format!("Bearer {user}");
    let accept = ("accept", "application/json");
    let call = |path: &str, headers: &[_]| seen(service.answer(&get(path, headers))).status;
    let (generic, user) = (
        ("authorization", generic.as_str()),
        ("authorization", user.as_str()),
    );
    assert_eq!(call("/api/Users/ListUsers", &[generic, accept]), 200);
    assert_eq!(call("/api/Users/ListUsers", &[user, accept]), 401);
    assert_eq!(call("/api/Risks", &[user, accept]), 200);
    assert_eq!(call("/api/Risks", &[generic, accept]), 401);
    assert_eq!(call("/api/Risks", &[user]), 406);
}
