//! Cookies: kept between the steps of one run, for the origin that set them.

use super::*;

#[tokio::test]
async fn cookies_go_back_to_the_origin_that_set_them_and_nowhere_else() {
    let other = Vendor::saying(r#"{"t":"x"}"#).await;
    let vendor = Vendor::start(|request| match request.path() {
        "/a" => answer("200 OK", "Set-Cookie: one=1; Path=/elsewhere; Secure; Domain=example.com\r\nSet-Cookie: two=2\r\n", "{}"),
        "/b" => answer("200 OK", "Set-Cookie: one=; Max-Age=0\r\nSet-Cookie: two=3\r\nSet-Cookie: = ;\r\nSet-Cookie: nonsense\r\n", "{}"),
        _ => json(r#"{"t":"x"}"#),
    })
    .await;
    let recipe = format!(
        "
steps:
  - {{ name: a, request: {{ url: VENDOR/a }} }}
  - {{ name: b, request: {{ url: VENDOR/b }}, after: a }}
  - {{ name: other, request: {{ url: {}/c }}, after: b }}
  - {{ name: c, request: {{ url: VENDOR/c }}, after: other, capture: {{ t: {{ json: /t }} }} }}
  - {{ name: own, request: {{ url: VENDOR/own, headers: {{ Cookie: mine=1 }} }}, after: c }}
outputs: {{ token: '{{{{ c.t }}}}' }}",
        other.url
    );
    let source = vendor.recipe(&recipe);
    for _ in 0..2 {
        source.fetch(Fetch::FIRST).await.unwrap();
    }
    let sent = |vendor: &Vendor| -> Vec<Option<String>> {
        let seen = vendor.seen();
        seen.iter()
            .map(|it| it.header("cookie").map(str::to_owned))
            .collect()
    };
    let run = [
        None,
        Some("one=1; two=2".into()),
        Some("two=3".into()),
        Some("mine=1".into()),
    ];
    assert_eq!(
        sent(&vendor),
        [run.clone(), run].concat(),
        "a run begins without"
    );
    assert_eq!(sent(&other), [None, None]);
}

#[tokio::test]
async fn an_origin_is_the_same_in_every_spelling() {
    let vendor = Vendor::start(|_| answer("200 OK", "Set-Cookie: a=1\r\n", "{}")).await;
    let port = vendor.url.rsplit_once(':').unwrap().1.to_owned();
    let recipe = format!(
        "
steps:
  - {{ name: a, request: {{ url: 'http://LOCALHOST:{port}/a' }} }}
  - {{ name: b, request: {{ url: 'HTTP://localhost:{port}?b' }}, after: a }}
  - {{ name: c, request: {{ url: 'http://127.0.0.1:{port}/c' }}, after: b }}
outputs: {{ token: t }}"
    );
    built(&recipe).fetch(Fetch::FIRST).await.unwrap();
    let seen = vendor.seen();
    let cookies: Vec<_> = seen.iter().map(|it| it.header("cookie")).collect();
    assert_eq!(cookies, [None, Some("a=1"), None]);
}

#[tokio::test]
async fn a_flood_of_cookies_is_cut() {
    let mut fields = String::new();
    for number in 0..90 {
        fields.push_str(&format!("Set-Cookie: c{number}={}\r\n", "x".repeat(1000)));
    }
    let vendor = Vendor::start(move |request| match request.path() {
        "/a" | "/b" => answer("200 OK", &fields.replace("c", &request.path()[1..]), "{}"),
        _ => json("{}"),
    })
    .await;
    let recipe = "
steps:
  - { name: a, request: { url: VENDOR/a } }
  - { name: b, request: { url: VENDOR/b }, after: a }
  - { name: c, request: { url: VENDOR/c }, after: b }
outputs: { token: t }";
    vendor.obtain(recipe).await.unwrap();
    let sent = vendor.seen()[2].header("cookie").map_or(0, str::len);
    assert!(sent > 0 && sent <= 64 * 1024, "{sent}");
}
