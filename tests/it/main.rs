//! Everything that is tested from outside a module, in one binary: a file per topic.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "this whole crate is a test: an unwrap that fails is a failed test"
)]

mod answers;
mod architecture;
mod callers;
mod certificates;
mod cli;
mod contracts;
mod doctor;
mod dpop;
mod emulate;
mod exchange;
mod faults;
mod grants;
mod grpc;
mod http2;
mod listeners;
mod operator;
mod presets;
mod reference;
mod regression;
mod store;
mod subjects;
mod support;
mod upstreams;
mod websocket;
