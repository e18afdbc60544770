use super::*;

fn only(path: LoginPath) -> [Login; 1] {
    [Login { path, answer: None }]
}

impl Logins {
    fn refuses(&self, target: &str) -> bool {
        !matches!(self.find(get(target, &HeaderMap::new())), Ok(None))
    }
}

fn get<'a>(target: &'a str, headers: &'a HeaderMap) -> Wanted<'a> {
    let (rest, query) = match target.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (target, None),
    };
    Wanted {
        rest,
        query,
        method: &Method::GET,
        headers,
    }
}

#[track_caller]
fn check(base: &str, login: LoginPath, denied: &[&str], free: &[&str]) {
    let logins = Logins::below(base, only(login)).expect("it may lie below");
    for rest in denied {
        assert!(logins.refuses(rest), "{base} {rest} passes");
    }
    for rest in free {
        assert!(!logins.refuses(rest), "{base} {rest}");
    }
}

#[test]
fn an_endpoint_is_known_in_every_spelling() {
    check(
        "/login/",
        LoginPath::whole("/login/idm/tokens"),
        &[
            "idm/tokens",
            "idm/tokens/",
            "idm//tokens",
            "/idm/tokens//",
            "IDM/Tokens",
            "idm/%74okens",
            "idm%2ftokens",
            "idm%2Ftokens",
            "idm/%2574okens",
            "idm%5ctokens",
            "idm/tokens;x",
            "idm;a=b/tokens;jsessionid=1",
            "idm/tokens%3bx",
            "idm/./tokens",
            "./idm/tokens",
            "idm/%2e/tokens",
            "idm/x/../tokens",
            "x/%2e%2e/idm/tokens",
            "idm/tokens.",
            "idm/tokens.json",
            "idm/tokens%20",
            "idm/tokens%3fx",
            "idm/tokens%23",
        ],
        &[
            "",
            "idm",
            "tokens",
            "idm/tokens/x",
            "idm/tokensx",
            "idm/token",
            "x/idm/tokens",
            "idm/keys",
            "idm/tokens%2ffoo",
        ],
    );
}

#[test]
fn what_a_server_drops_or_folds_hides_no_endpoint() {
    check(
        "/api/",
        LoginPath::ending("/api/oauth2/Token"),
        &[
            "(S(abc))/oauth2/Token",
            "oauth2/(A(x)F(y))/Token",
            "oauth2/%28S%28abc%29%29/Token",
            "oauth2/Token/(S(abc))",
            "oauth2/To%E2%84%AAen",
            "oauth2/%EF%BC%B4%EF%BD%8Fken",
            "oauth2/%E1%B5%80oken",
        ],
        &[
            "oauth2/(S(abc)",
            "oauth2/Tok%C3%A9",
            "oauth2/Tok%E9n",
            "oauth2/%C3%A9",
        ],
    );
}

#[test]
fn a_verb_behind_a_colon_is_part_of_its_segment() {
    check(
        "/",
        LoginPath::whole("/oauth2/token:generate"),
        &[
            "oauth2/token:generate",
            "oauth2/token%3Agenerate",
            "oauth2/token%3agenerate",
            "OAuth2/Token:Generate",
        ],
        &["oauth2/token", "oauth2/token:x", "oauth2/token/generate"],
    );
}

#[test]
fn what_stands_before_an_ending_does_not_matter() {
    let login = LoginPath::ending("/login/pubkey/app/user/{id}/authenticate");
    check(
        "/context/",
        login,
        &[
            "login/pubkey/app/user/77/authenticate",
            "a/b/LOGIN/pubkey/app/user/%37/authenticate",
        ],
        &[
            "login/pubkey/app/user/authenticate",
            "login/pubkey/app/user/7/7/authenticate",
        ],
    );
}

#[test]
fn icebergs_endpoint_is_known_below_every_prefix() {
    check(
        "/api/catalog/",
        LoginPath::whole("/api/catalog/v1/oauth/tokens"),
        &[
            "v1/oauth/tokens",
            "prod/v1/oauth/tokens",
            "a/b/v1/oauth/tokens",
        ],
        &["v1/config", "v1/oauth/tokens/x"],
    );
}

#[test]
fn the_base_path_is_part_of_the_path() {
    check(
        "/%4cogin/idm/",
        LoginPath::whole("/login/idm/tokens"),
        &["tokens", "./TOKENS/"],
        &["login/idm/tokens"],
    );
    check(
        "/login/idm/tokens",
        LoginPath::whole("/login/idm/tokens"),
        &[""],
        &["x"],
    );
}

#[test]
fn what_lies_below_a_script_is_the_script() {
    check(
        "/app/",
        LoginPath::whole("/app/Token.PHP"),
        &[
            "token.php",
            "token.php/x",
            "token.php/a/b/",
            "token.php;x/y",
        ],
        &["token", "x/token.php", "token.phpx", "other.php"],
    );
}

#[test]
fn a_base_path_below_a_script_is_the_script() {
    check(
        "/app/token.php/x/",
        LoginPath::whole("/app/token.php"),
        &["", "y"],
        &[],
    );
}

#[test]
fn an_endpoint_may_be_the_root_itself() {
    check(
        "/",
        LoginPath::whole("/"),
        &["", "/", "%2f", "x/.."],
        &["x", "token"],
    );
}

#[test]
fn a_route_under_which_no_endpoint_lies_has_nothing_to_look_at() {
    let endpoint = || LoginPath::whole("/login/idm/tokens");
    for base in ["/pod/", "/login/idm/tokens/x/", "/login/idm/keys", "/log/"] {
        assert!(Logins::below(base, only(endpoint())).is_none(), "{base}");
    }
    assert!(Logins::below("/login/", []).is_none());
}

#[test]
fn a_path_that_can_be_read_in_too_many_ways_is_refused() {
    let logins = Logins::below("/", only(LoginPath::whole("/token"))).unwrap();
    let rest = "a;b/%25252525252e/..//c%3bd/%255c".repeat(3);
    assert!(logins.find(get(&rest, &HeaderMap::new())).is_err());
}

#[test]
fn a_path_that_serves_everything_is_a_login_only_with_its_query() {
    let login = || LoginPath::whole("/v2/api").with_query("/v2/api", "action=token");
    check(
        "/v2/",
        login(),
        &[
            "api?action=token",
            "API/?x=1&ACTION=%74oken",
            // Whoever reads the path in another way may find the query there.
            "api%3faction=token",
            "api;action=token",
            "api;action=token?action=list",
            "api%2f?action=list",
        ],
        &[
            "api",
            "api?action=list",
            "api/?x=token",
            "list?action=token",
        ],
    );
    let whole = LoginPath::whole("/v2/token").with_query("/v2/token", "action=token");
    check("/v2/", whole, &["token", "token?action=list"], &[]);
}

#[test]
fn two_logins_of_one_path_are_told_apart_by_their_queries() {
    let login = |query| Login {
        path: LoginPath::whole("/api").with_query("/api", query),
        answer: None,
    };
    let logins = Logins::below("/", [login("do=token"), login("do=login")]).unwrap();
    assert!(logins.refuses("api?do=token") && logins.refuses("api?do=login"));
    assert!(!logins.refuses("api?do=list"));
}
