use super::*;

static PRESETS: &[Preset] = &[Preset {
    name: "acme",
    text: r#"
preset: acme
about: A vendor.
parameters:
  vanity: { about: The name., optional: true, refuse: [yourpodURL] }
  url: { about: Where it is., default: "https://$(vanity).example.com" }
  user: { about: Who., required_unless: cert }
  cert: { about: A file., optional: true }
  secret: { about: The secret., optional: true, secret: true }
  scope: { about: Rights., optional: true }
  in: { about: Where., default: header, one_of: [header, query] }
  late: { about: When., optional: true, not_with: [cert, "in: query"], only_with: scope }
credentials:
  main:
    kind:
      url: $(url)/login
      who: { unless: cert, value: "$(user)@x", else: { if: secret, value: [$(secret)], else: nobody } }
      file: $(cert)
      secret: $(secret)
      text: "for $(scope) only"
      steps: [{ if: { in: [query] }, a: b }, { if: [user, scope], c: d }, { e: f }]
      $(in): by $(self)
    wait: 1s
  more:
    kind: { of: $(self) }
"#,
}];

/// The credentials after expansion as one line, or every complaint.
fn expanded(credentials: &str) -> Result<String, String> {
    let mut decoder = Decoder::default();
    let text = format!("credentials:\n  {credentials}\n");
    let root = yaml::parse(&text, &mut decoder).expect("YAML");
    let root = expand(&root, PRESETS, &mut decoder);
    if decoder.diagnostics.has_errors() {
        let all = decoder
            .diagnostics
            .iter()
            .map(|found| found.message.clone());
        return Err(all.collect::<Vec<_>>().join("; "));
    }
    Ok(line(root.expect("a preset").get("credentials").unwrap()))
}

fn line(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".into(),
        Kind::Faulty => "faulty".into(),
        Kind::Scalar(scalar) => scalar.text.clone(),
        Kind::List(items) => format!(
            "[{}]",
            items.iter().map(line).collect::<Vec<_>>().join(", ")
        ),
        Kind::Map(entries) => {
            let all = entries
                .iter()
                .map(|e| format!("{}: {}", e.key, line(&e.value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn parameters_conditions_and_defaults_make_the_credentials() {
    assert_eq!(
        expanded("pod: { preset: acme, with: { vanity: v, user: u } }").unwrap(),
        "{pod: {kind: {url: https://v.example.com/login, who: u@x, steps: [{e: f}], header: by pod}, wait: 1s}, \
         pod.more: {kind: {of: pod}}}"
    );
    assert_eq!(
        expanded(
            "pod: { preset: { name: acme, with: { url: 'https://h/', cert: c, user: u, scope: [a, b], in: query, \
             secret: { env: X } } } }"
        )
        .unwrap(),
        "{pod: {kind: {url: https://h/login, who: [{env: X}], file: c, secret: {env: X}, text: for a b only, \
         steps: [{a: b}, {c: d}, {e: f}], query: by pod}, wait: 1s}, pod.more: {kind: {of: pod}}}"
    );
}

#[test]
fn what_contradicts_nothing_that_is_given_may_stand() {
    let with = "vanity: v, user: u, late: 1, scope: a, in: header";
    expanded(&format!("pod: {{ preset: acme, with: {{ {with} }} }}")).unwrap();
}

#[test]
fn what_the_user_writes_beside_it_wins() {
    let made =
        expanded("pod: { preset: acme, wait: 9s, prewarm: true, with: { vanity: v, user: u } }");
    let made = made.unwrap();
    assert!(
        made.contains("wait: 9s, prewarm: true}, pod.more"),
        "{made}"
    );
    assert!(!made.contains("1s"), "{made}");
}

#[test]
fn a_file_without_presets_is_not_copied() {
    let mut decoder = Decoder::default();
    let root = yaml::parse("credentials: { a: { kind: {} } }", &mut decoder).unwrap();
    assert!(expand(&root, PRESETS, &mut decoder).is_none());
}

#[test]
fn what_is_wrong_is_said_with_its_mend() {
    for (credentials, expected) in [
        ("pod: { preset: acne }", "there is no preset `acne`"),
        (
            "pod: { preset: acme, with: { user: u } }",
            "the preset `acme` needs `url`, or `vanity`",
        ),
        (
            "pod: { preset: acme, with: { url: 'https://h' } }",
            "the preset `acme` needs `user`, or `cert`",
        ),
        (
            "pod: { preset: acme, with: { vanity: yourPodUrl, user: u } }",
            "`yourpodURL` is left over from an example",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, user: u, usr: x } }",
            "has no parameter `usr`",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, user: u, in: body } }",
            "expected one of `header`, `query`",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, user: { env: X } } }",
            "`user` becomes a part of a text here",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, user: } }",
            "`user` has no value",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, cert: c, late: 1, scope: a } }",
            "`late` and `cert` contradict each other",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, user: u, late: 1, scope: a, in: query } }",
            "`late` and `in: query` contradict each other",
        ),
        (
            "pod: { preset: acme, with: { vanity: v, user: u, late: 1, in: header } }",
            "`late` says nothing without `scope`",
        ),
        (
            "pod: { preset: acme, with: [a] }",
            "a mapping of parameters",
        ),
        (
            "pod: { preset: { name: acme, with: {} }, with: {} }",
            "given twice",
        ),
        (
            "{ pod: { preset: acme, with: { vanity: v, user: u } }, pod.more: {} }",
            "the name `pod.more` is taken",
        ),
    ] {
        let complaint = expanded(credentials).expect_err(credentials);
        assert!(complaint.contains(expected), "{credentials}: {complaint}");
    }
}

#[test]
fn a_secret_in_the_file_is_warned_of_once() {
    let mut decoder = Decoder::default();
    let text =
        "credentials: { pod: { preset: acme, with: { vanity: v, user: u, secret: hunter2 } } }";
    let root = yaml::parse(text, &mut decoder).unwrap();
    let root = expand(&root, PRESETS, &mut decoder).unwrap();
    assert_eq!(decoder.diagnostics.iter().count(), 1);
    let secret = root.get("credentials").and_then(|all| all.get("pod"));
    let secret = secret
        .and_then(|pod| pod.get("kind")?.get("secret"))
        .unwrap();
    assert!(matches!(&secret.kind, Kind::Scalar(scalar) if scalar.filled));
}
