//! What the credential holds, and what can't be one.

use super::*;
use crate::credentials::FailureKind;

async fn output(json_text: &str) -> Result<String, String> {
    let vendor = Vendor::saying(format!(r#"{{"token":{json_text}}}"#)).await;
    let outcome = vendor.capture("token: { json: /token, default: '' }").await;
    outcome.map_err(|error| {
        assert_eq!(error.kind, FailureKind::Malformed);
        error.detail.into_owned()
    })
}

#[tokio::test]
async fn an_output_is_visible_ascii_of_bounded_length() {
    assert_eq!(output("\"a b\"").await.as_deref(), Ok("a b"));
    assert_eq!(output("12").await.as_deref(), Ok("12"));
    let longest = "x".repeat(16 * 1024);
    assert_eq!(
        output(&format!("\"{longest}\"")).await.as_ref(),
        Ok(&longest)
    );
    for (text, why) in [
        ("\"\"".to_owned(), "it is empty"),
        ("null".into(), "it is empty"),
        (format!("\"{longest}x\""), "it is longer than 16 KiB"),
        (
            r#""a\r\nX-Evil: 1""#.into(),
            "it holds what can't stand in a header",
        ),
        (
            r#""a\u0000""#.into(),
            "it holds what can't stand in a header",
        ),
        (
            r#""a\u007f""#.into(),
            "it holds what can't stand in a header",
        ),
        ("\"é\"".into(), "it holds what can't stand in a header"),
        ("\" a\"".into(), "it holds what can't stand in a header"),
        ("\"a\\t\"".into(), "it holds what can't stand in a header"),
    ] {
        let error = output(&text).await.expect_err(&text);
        assert_eq!(error, format!("`outputs.token`: {why}"), "{text}");
    }
}

#[tokio::test]
async fn an_output_that_may_be_absent_is_left_out_and_at_least_one_is_there() {
    let vendor = Vendor::saying(r#"{"a":"x"}"#).await;
    let recipe = |outputs: &str| {
        format!(
            "{{ steps: [{{ name: s, request: {{ url: VENDOR/ }}, capture: {{ a: {{ json: /a }}, b: {{ json: /b, optional: true }} }} }}], outputs: {{ {outputs} }} }}"
        )
    };
    let credential = vendor
        .obtain(&recipe(
            "a: '{{ s.a }}', b: { value: '{{ s.b }}', optional: true }, c: constant",
        ))
        .await
        .unwrap();
    let names: Vec<&str> = credential.parts.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "c"]);
    let error = vendor
        .obtain(&recipe("b: { value: '{{ s.b }}', optional: true }"))
        .await
        .unwrap_err();
    assert_eq!(error.detail, "`outputs`: all of them are absent");
    let error = vendor.obtain(&recipe("b: 'x{{ s.b }}'")).await.unwrap_err();
    assert_eq!(error.detail, "`outputs.b`: a value is absent");
}

#[test]
fn the_names_of_all_parts_are_known_beforehand() {
    let source = built(
        "{ steps: [{ name: s, request: { url: 'https://x.example/' } }], outputs: { a: x, b: { value: y, optional: true } } }",
    );
    assert_eq!(source.parts(), ["a", "b"]);
    assert_eq!(source.endpoints(), ["https://x.example/"]);
}
