use super::*;

#[expect(
    clippy::needless_pass_by_value,
    reason = "each source is made for one call"
)]
fn resolve(source: SecretSource) -> Result<Secret, SecretError> {
    let env = |name: &str| (name == "X").then(|| "from-env".to_owned());
    source.resolve(&mut Resolver::new(&env, std::env::temp_dir()))
}

fn exec(script: &str) -> Result<Secret, SecretError> {
    resolve(SecretSource::Exec(vec![
        "sh".into(),
        "-c".into(),
        script.into(),
    ]))
}

#[test]
fn a_variable_holds_a_secret() {
    assert_eq!(
        resolve(SecretSource::Env("X".into())).unwrap().expose(),
        "from-env"
    );
    let error = resolve(SecretSource::Env("Y".into())).unwrap_err();
    assert_eq!(error.to_string(), "the environment variable `Y` is not set");
}

#[test]
fn a_file_loses_one_line_break_and_is_remembered() {
    let name = format!("bearerd-secret-{}", std::process::id());
    let path = std::env::temp_dir().join(&name);
    std::fs::write(&path, "s3cret\n\n").unwrap();
    let env = |_: &str| None;
    let mut resolver = Resolver::new(&env, std::env::temp_dir());
    let secret = SecretSource::File(name.into())
        .resolve(&mut resolver)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(secret.expose(), "s3cret\n");
    assert_eq!(resolver.into_files(), [path]);
}

#[test]
fn unusable_files_are_named() {
    let error = resolve(SecretSource::File("/nowhere/secret".into())).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("unreadable secret file /nowhere/secret: "),
        "{error}"
    );
    for path in ["/dev/zero", "/proc"] {
        let error = resolve(SecretSource::File(path.into())).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

#[test]
fn a_program_prints_a_secret() {
    assert_eq!(exec("echo hush").unwrap().expose(), "hush");
    assert!(matches!(exec("true"), Err(SecretError::Empty(_))));
    assert!(matches!(
        exec("head -c 70000 /dev/zero | tr '\\0' x"),
        Err(SecretError::TooLarge(_))
    ));
    assert!(matches!(
        exec("printf '\\377'"),
        Err(SecretError::NotText(_))
    ));
}

#[test]
fn what_a_failing_program_says_is_not_repeated() {
    let error = exec("echo hunter2; echo hunter2 >&2; exit 3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the program `sh` ended with exit status: 3"
    );
}

#[test]
fn a_stand_in_takes_the_place_of_secrets_that_are_not_read() {
    let env = |_: &str| -> Option<String> { panic!("a variable was read") };
    let mut resolver = Resolver::new(&env, std::env::temp_dir()).without_secrets();
    let sources = [
        SecretSource::Env("X".into()),
        SecretSource::File("/nonexistent".into()),
        SecretSource::Exec(vec!["/nonexistent".into()]),
    ];
    for source in sources {
        assert_eq!(source.resolve(&mut resolver).unwrap().expose(), STAND_IN);
    }
}
