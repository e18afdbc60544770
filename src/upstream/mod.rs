//! The way to the upstreams: connector, pools.
