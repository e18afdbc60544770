//! A request that finds its token, many times over, for callgrind to say where its instructions go:
//! `valgrind --tool=callgrind --toggle-collect='*measured*'` before the program that `cargo bench --bench hit --no-run`
//! names.

#[path = "support/hit.rs"]
mod hit;

use bearerd::layers::Inbound;

fn main() {
    // `cargo bench` adds a flag of its own.
    let count = std::env::args().find_map(|argument| argument.parse().ok());
    let requests = hit::requests(count.unwrap_or(1000));
    hit::with_stack(|send| measured(send, requests));
}

/// Found by its name.
#[inline(never)]
fn measured(send: &mut dyn FnMut(Vec<Inbound>), requests: Vec<Inbound>) {
    send(requests);
}
