use super::*;

fn duration(text: &str) -> Option<Duration> {
    parse_duration(text)
}

#[test]
fn durations_need_units() {
    assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
    for bad in [
        "",
        "5",
        "s",
        "5 s",
        "-5s",
        "1e3s",
        "5x",
        "9999999999d",
        "..s",
    ] {
        assert_eq!(duration(bad), None, "{bad}");
    }
}

#[test]
fn sizes_take_binary_and_decimal_units() {
    assert_eq!(parse_size("64KiB"), Some(65_536));
    assert_eq!(parse_size("500"), Some(500));
    assert_eq!(parse_size("1 MiB"), Some(1 << 20));
    for bad in [
        "",
        "KiB",
        "1.5MiB",
        "-1",
        "64k",
        "99999999999999999999",
        "18446744073709551615KiB",
    ] {
        assert_eq!(parse_size(bad), None, "{bad}");
    }
}
