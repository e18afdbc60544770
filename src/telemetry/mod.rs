//! Logs and metrics: what can be seen, never the secret.
