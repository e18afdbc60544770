use super::*;

#[test]
fn ordinary_targets_pass() {
    for target in [
        "/",
        "/v2/invoices?id=7",
        "/a/b.c/~d/e-f_g",
        "/projects/group%2fname/x",
        "/v1/namespaces/a%1Fb",
        "/a;v=1/b;w=2",
        "/a?x=;..;y&z=/../",
        "/..a;b",
        "/a..;b",
        "/...;b",
        "/a?b?c",
        "/{x}|y",
    ] {
        assert_eq!(check(target), Ok(()), "{target}");
    }
}

#[test]
fn what_servers_read_differently_is_refused() {
    use TargetRefused as R;
    for (target, reason) in [
        ("", R::NotOriginForm),
        ("*", R::NotOriginForm),
        ("a/b", R::NotOriginForm),
        ("http://example.com/", R::NotOriginForm),
        ("/a#b", R::Fragment),
        ("/a?b#c", R::Fragment),
        ("/a\\b", R::Backslash),
        ("/a?b\\c", R::Backslash),
        ("/a%", R::Percent),
        ("/a%2", R::Percent),
        ("/a%zz", R::Percent),
        ("/a%u002e", R::Percent),
        ("/a?b=100%", R::Percent),
        ("/a%00b", R::Nul),
        ("/a?b=%00", R::Nul),
        ("/a b", R::Byte),
        ("/a\tb", R::Byte),
        ("/a\r\nb", R::Byte),
        ("/a\0", R::Byte),
        ("/a\x7f", R::Byte),
        ("/caf\u{e9}", R::Byte),
        ("/a?\u{e9}", R::Byte),
        ("/a/..;/b", R::DotParameters),
        ("/a/.;/b", R::DotParameters),
        ("/a/..;x=1", R::DotParameters),
        ("/a/%2e%2E;/b", R::DotParameters),
        ("/a/.%2e;/b", R::DotParameters),
        ("/..;", R::DotParameters),
    ] {
        assert_eq!(check(target), Err(reason), "{target:?}");
    }
}
