use super::*;
use crate::{
    callers::KeySets, compile::Context, credentials::Credentials, downstream::TlsServers,
    telemetry::metrics::Metrics, upstream::Upstreams,
};

const FILE: &str = r#"
listen: 127.0.0.1:8080
credentials:
  billing:
    client_credentials:
      token_url: https://login.example.com/oauth2/token
      client_id: billing-batch
      client_secret: { env: NOT_SET_ANYWHERE }
  key:
    static:
      token: { file: /nonexistent/secret }
    inject:
      - { header: X-Custom, value: "CANARY-{{ access_token }}" }
      - { query: api key, value: "{{ access_token }}" }
      - { cookie: session, value: "{{ access_token }}" }
routes:
  - name: billing
    match: /billing/
    upstream: https://api.example.com/v2/
    credential: billing
  - name: writes
    match: { path: /billing/, methods: [POST] }
    upstream: https://write.example.com/
  - name: partner
    match: { path: /partner/, headers: { x-tenant: a } }
    upstream: https://partner.example.com/
    credential: key
  - name: rest
    match: { host: "*.example.com", path: / }
    upstream: https://rest.example.com:8443/
  - name: last
    match: /
    upstream: https://last.example.com/base/
  - name: logins
    match: /oauth2/
    upstream: https://login.example.com/oauth2/
    credential: billing
    emulate: true
"#;

fn listener() -> Connection {
    Connection::new(([127, 0, 0, 1], 4711).into(), ([127, 0, 0, 1], 8080).into())
}

fn explain_with(method: &str, url: &str, headers: &[&str]) -> Explanation {
    explain_in(FILE, method, url, headers)
}

fn explain_in(file: &str, method: &str, url: &str, headers: &[&str]) -> Explanation {
    let runtime = small_runtime().unwrap();
    let context = Context {
        env: &|_| None,
        credentials: &Credentials::new(runtime.handle().clone()),
        upstreams: &Upstreams::default(),
        tls: &TlsServers::default(),
        key_sets: &KeySets::new(runtime.handle().clone()),
        metrics: &Metrics::new(),
        generation: 1,
        prewarm: false,
        inherited: None,
    };
    let path = std::env::temp_dir().join(format!("bearerd-explain-{}.yaml", fastrand::u64(..)));
    std::fs::write(&path, file).unwrap();
    let compiled = compile::load_file_without_secrets(&path, &context);
    std::fs::remove_file(&path).unwrap();
    let compiled = compiled.unwrap_or_else(|error| panic!("{}", file_error(&error)));
    let request = Request {
        method: method.into(),
        url: url.into(),
        headers: headers.iter().map(|&header| header.into()).collect(),
    };
    explain(&compiled.snapshot, &listener(), &request).unwrap()
}

fn file_error(error: &compile::LoadError) -> String {
    match error {
        compile::LoadError::Invalid { report } => report.render(false),
        error => error.to_string(),
    }
}

/// Without the pseudonym, which differs from run to run.
fn lines(explanation: &Explanation) -> Vec<String> {
    let text = explanation.to_string();
    text.lines()
        .map(|line| line.split("bearerd-").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_route_its_rivals_and_the_bytes_to_be_sent_are_told() {
    let explanation = explain_with(
        "GET",
        "http://127.0.0.1:8080/billing/invoices?id=7",
        &["Accept: */*", "Authorization: Bearer mine", "Cookie: a=b"],
    );
    assert!(explanation.forwarded);
    assert_eq!(
        lines(&explanation),
        [
            "GET http://127.0.0.1:8080/billing/invoices?id=7",
            "  not taken   writes (line 21: /billing/): it is for POST",
            "  route       billing (line 17: /billing/)",
            "  shadowed    last (line 31: /) by billing: its prefix is longer",
            "  others      3 for other hosts or paths",
            "  credential  billing in header `authorization`",
            "  sends       GET https://api.example.com/v2/invoices?id=7",
            "              accept: */*",
            "              authorization: Bearer ****",
            "              host: api.example.com",
            "              via: 1.1 ",
            "  takes out   cookie",
        ]
    );
}

#[test]
fn neither_secrets_nor_the_words_of_a_template_are_shown() {
    let explanation = explain_with("GET", "/partner/x?q=1", &["X-Tenant: a", "X-Custom: mine"]);
    let text = explanation.to_string();
    assert!(
        text.contains("GET https://partner.example.com/x?q=1&api%20key=****\n"),
        "{text}"
    );
    assert!(text.contains("x-custom: ****\n"), "{text}");
    assert!(text.contains("cookie: session=****\n"), "{text}");
    for hidden in ["CANARY", "mine", "not-read"] {
        assert!(!text.contains(hidden), "{text}");
    }
    let text = explain_with("GET", "/x", &["Authorization: Bearer mine"]).to_string();
    assert!(
        text.contains("authorization: ****") && !text.contains("mine"),
        "{text}"
    );
}

#[test]
fn a_bound_token_and_its_proof_are_told_and_its_key_is_not_read() {
    let key = "client_auth: none\n      dpop: { key: { file: /nonexistent/key } }";
    let file = FILE.replace("client_secret: { env: NOT_SET_ANYWHERE }", key);
    let explanation = explain_in(&file, "GET", "/billing/x", &["DPoP: made.up"]).to_string();
    for expected in [
        "bound by DPoP: each request carries a proof of the key of the file",
        "authorization: DPoP ****\n",
        "dpop: ****\n",
    ] {
        assert!(explanation.contains(expected), "{expected}: {explanation}");
    }
    assert!(!explanation.contains("made.up"), "{explanation}");
}

#[test]
fn a_request_that_the_proxy_answers_says_so() {
    for (method, url, answer) in [
        ("GET", "/billing/../x", "400 path_refused"),
        ("GET", "/a#b", "400 path_refused"),
        ("TRACE", "/x", "405 method_refused"),
        ("GET", "http://user@example.com/", "400 request_invalid"),
        ("GET", "/oauth2/%74oken", "403 token_endpoint_denied"),
        ("POST", "/oauth2/token", "the login itself"),
    ] {
        let explanation = explain_with(method, url, &[]);
        assert!(!explanation.forwarded, "{url}");
        assert!(
            explanation
                .to_string()
                .contains(&format!("answers     {answer}")),
            "{explanation}"
        );
    }
}

#[test]
fn hosts_decide_by_the_url_or_by_the_host_header() {
    let by_url = explain_with("GET", "http://api.EXAMPLE.com./x", &[]).to_string();
    assert!(by_url.contains("route       rest"), "{by_url}");
    assert!(
        by_url.contains("GET https://rest.example.com:8443/x\n"),
        "{by_url}"
    );
    let by_header =
        explain_with("GET", "http://127.0.0.1/x", &["Host: api.example.com"]).to_string();
    assert!(by_header.contains("route       rest"), "{by_header}");
}

#[test]
fn a_command_line_that_describes_no_request_is_a_usage_error() {
    for (method, url, header) in [
        ("G T", "/", "a: b"),
        ("GET", "x", "a: b"),
        ("GET", "/", "a"),
        ("GET", "/", "a b: c"),
    ] {
        let request = Request {
            method: method.into(),
            url: url.into(),
            headers: vec![header.into()],
        };
        assert!(
            head(&request, &listener()).is_err(),
            "{method} {url} {header}"
        );
    }
}
