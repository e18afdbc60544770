//! `bearerd demo`: the proxy at work among stand-ins, on this machine.

mod client;
mod parties;
mod stand_in;
mod tokens;
mod tour;
mod upstream;
