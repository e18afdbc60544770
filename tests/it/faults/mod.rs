//! The fault matrix: everyone the proxy talks to misbehaves in turn, and the others notice no more than they must.

mod bounds;
mod clients;
mod herds;
mod page;
mod refusals;
mod reload;
mod revocation;
mod secrets;
mod shutdown;
mod token_calls;
mod token_endpoints;
mod unwritten;
mod upstreams;

use bounds::file;
