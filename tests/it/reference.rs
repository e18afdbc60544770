//! The committed reference of every key is the one that the code gives.

use std::{fs, path::Path};

use bearerd::{config::reference, credentials::grants::KINDS};

#[test]
fn the_reference_of_every_key_is_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/configuration.md");
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration.md");
    let text = reference::markdown(KINDS);
    fs::write(&fresh, &text).unwrap();
    assert!(
        fs::read_to_string(&committed).is_ok_and(|old| old == text),
        "out of date; to renew it: cp {} {}",
        fresh.display(),
        committed.display()
    );
}
