use super::*;

#[test]
fn every_preset_can_be_read_and_says_what_it_is_for() {
    for preset in PRESETS {
        let definition = preset.definition().expect(preset.name);
        assert_eq!(definition.preset.value, preset.name);
        assert!(definition.about.ends_with('.'), "{}", preset.name);
        assert!(
            definition.credentials.value.0.get("main").is_some(),
            "{}",
            preset.name
        );
        for (name, parameter) in definition.parameters.iter().flat_map(|all| all.iter()) {
            let about = parameter.about.trim();
            assert!(
                about.ends_with(['.', ')']),
                "{}: {}",
                preset.name,
                name.value
            );
        }
    }
}

#[test]
fn presets_stand_in_the_order_of_their_names() {
    assert!(PRESETS.is_sorted_by_key(|preset| preset.name));
    assert!(find("brightpattern").is_some());
    assert!(find("nobody").is_none());
}
