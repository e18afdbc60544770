//! The program: everything it does is in [`bearerd::cli`].

use std::process::ExitCode;

/// Measured to be faster than the platform's for this kind of work, and the same on every libc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bearerd::cli::main()
}
