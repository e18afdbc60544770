//! Faults that other proxies had, none of which may be ours. The number in a test's first line is that of the
//! entry in the list of published faults that the project keeps; each test fails without its defence.

mod browsers;
mod credentials;
mod framing;
mod headers;
mod hosts;
mod paths;
