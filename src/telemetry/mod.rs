//! What an operator sees of a running proxy: logs, one access line per request, metrics. Never a secret.

pub mod access;
pub mod logs;
pub mod metrics;
