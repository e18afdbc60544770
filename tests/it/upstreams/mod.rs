//! How requests get to upstreams: the protocols, the sockets, what stands in between.

mod http2;
mod http2_faults;
mod targets;
mod ways;
