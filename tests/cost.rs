//! What a request may cost. Alone in its program: the allocator that counts is for all of it.
//!
//! Where a change means to cost more or less, put the new figure here, and say why in the commit.

#[path = "../benches/support/hit.rs"]
mod hit;

use std::{env, io::Write, process::Command};

use bearerd::layers::Inbound;

/// An allocation more is felt in every request: a hundred instructions, and a line of the cache or two.
#[test]
fn a_request_that_finds_its_token_allocates_no_more_than_it_did() {
    const MOST: u64 = 15;
    let counted = hit::with_stack(|send| {
        let requests = hit::requests(COUNT as usize);
        allocation_counter::measure(|| measured(send, requests))
    });
    // Rounded: what happens once in many requests is not a request's.
    let each = (counted.count_total + COUNT / 2) / COUNT;
    assert!(each <= MOST, "{each}: {counted:?}");
    assert!(counted.bytes_total / COUNT < 16 * 1024, "{counted:?}");
}

/// Counted in whatever build the tests are: without optimisation each is some ten times as many, and what a change
/// adds is so, too. A build for this test alone would take longer than all the others.
#[test]
fn a_request_that_finds_its_token_takes_no_more_instructions_than_it_did() {
    const MOST: u64 = 275_000;
    let program = env::current_exe().expect("it runs");
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=cost::measured"])
        .arg(program)
        .args([
            "--exact",
            "a_request_that_finds_its_token_allocates_no_more_than_it_did",
        ])
        .output();
    let Ok(counted) = counted else {
        // Not by a macro: the harness would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: instructions are counted by valgrind, and there is none"
        );
        return;
    };
    let said = String::from_utf8_lossy(&counted.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, number)| number.trim().parse::<u64>().ok());
    let Some(collected) = collected.filter(|_| counted.status.success()) else {
        panic!("{said}\n{}", String::from_utf8_lossy(&counted.stdout));
    };
    let each = collected / COUNT;
    assert!(each <= MOST, "{each} instructions");
}

/// Its own function, by whose name callgrind finds what is to be counted.
#[inline(never)]
fn measured(send: &mut dyn FnMut(Vec<Inbound>), requests: Vec<Inbound>) {
    send(requests);
}

/// Requests that are measured together.
const COUNT: u64 = 200;
