//! Every metric: its name, kind, labels and help text, in one table.

/// One metric as it appears in a scrape.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The whole name, with the unit and, for a counter, `_total`.
    pub name: &'static str,
    /// What kind of values it has.
    pub kind: Kind,
    /// The names of its labels; values are given in the same order. None of them can hold a subject.
    pub labels: &'static [&'static str],
    /// One sentence for the reader of a dashboard.
    pub help: &'static str,
}

/// The kinds of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of durations, in seconds.
    Histogram,
}

/// Defines a constant per metric and [`TABLE`] of them all, so that none is missing from either.
macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// All metrics, in the order of a scrape.
        pub const TABLE: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO: Gauge "bearerd_build_info" ["version"]
        "Always 1; the label tells the version that runs.";
    START_TIME: Gauge "bearerd_start_time_seconds" []
        "When the process started, in seconds since 1970.";

    REQUESTS: Counter "bearerd_requests_total" ["route", "status"]
        "Requests answered, by route (empty where none matched) and class of status; aborted where the client left first.";
    ERRORS: Counter "bearerd_errors_total" ["route", "code"]
        "Answers of the proxy's own, by the code of the problem.";
    REQUEST_SECONDS: Histogram "bearerd_request_seconds" ["route"]
        "Time from the head of a request to the end of its answer.";
    REQUESTS_IN_FLIGHT: Gauge "bearerd_requests_in_flight" ["route"]
        "Requests that are being answered now.";
    UPSTREAM_SECONDS: Histogram "bearerd_upstream_seconds" ["route"]
        "Time from sending a request on to the head of the upstream's answer.";
    REPLAYS: Counter "bearerd_replays_total" []
        "Requests sent again with another credential after the upstream refused the first.";

    CREDENTIAL_STATE: Gauge "bearerd_credential_state" ["credential", "state"]
        "1 for the state that a credential is in.";
    CREDENTIAL_EXPIRY: Gauge "bearerd_credential_expiry_seconds" ["credential"]
        "Time until the credential in use expires; absent where there is none or it never does.";
    CREDENTIAL_FETCH_SECONDS: Histogram "bearerd_credential_fetch_seconds" ["credential", "outcome"]
        "Duration of calls that obtain a credential, by outcome.";
    CREDENTIAL_WAIT_SECONDS: Histogram "bearerd_credential_wait_seconds" ["credential"]
        "Time that requests waited for a credential; those that found one at once are not in it.";
    CREDENTIAL_REJECTED: Counter "bearerd_credential_rejected_total" ["credential"]
        "Credentials that an upstream refused, counted once for each generation.";
    CREDENTIAL_ADOPTED: Counter "bearerd_credential_adopted_total" ["credential"]
        "Credentials that another process had fetched and this one took from the store.";
    CREDENTIAL_STORE_ERRORS: Counter "bearerd_credential_store_errors_total" ["credential"]
        "Times that the store could not be read or written for a credential.";
    CREDENTIAL_VERIFICATIONS: Counter "bearerd_credential_verifications_total" ["credential", "outcome"]
        "Trials of changed secrets: ok (in use), refused or failed (the old ones stay in use).";
    CREDENTIAL_SECRET_REFUSED: Gauge "bearerd_credential_secret_refused" ["credential"]
        "1 while the secret in the configuration is refused, and an old one is used instead.";
    CREDENTIAL_SUBJECTS: Gauge "bearerd_credential_subjects" ["credential"]
        "Users whose tokens are kept now; absent where all requests share one.";
    CREDENTIAL_EVICTED: Counter "bearerd_credential_subjects_evicted_total" ["credential"]
        "Users whose tokens had to make room for others'.";
    ENDPOINT_PAUSED: Gauge "bearerd_token_endpoint_paused" ["endpoint"]
        "1 while a token endpoint that has failed too often in a row is not called.";
    ENDPOINT_HELD: Counter "bearerd_token_endpoint_held_total" ["endpoint"]
        "Token calls that were not made because the endpoint fails, or limits us.";

    TARGET_UP: Gauge "bearerd_upstream_target_up" ["upstream", "target"]
        "1 while requests go to this one of several targets, 0 while it is left out or unhealthy.";
    TARGET_REQUESTS: Gauge "bearerd_upstream_target_requests" ["upstream", "target"]
        "Requests under way to this one of several targets.";
    TARGET_EJECTIONS: Counter "bearerd_upstream_target_ejections_total" ["upstream", "target"]
        "How often a target was left out because it had failed too often in a row.";

    CONNECTIONS: Counter "bearerd_connections_total" []
        "Connections accepted from clients.";
    CONNECTIONS_OPEN: Gauge "bearerd_connections_open" []
        "Connections from clients that are open now.";
    ACCEPT_ERRORS: Counter "bearerd_accept_errors_total" []
        "Connections that could not be accepted.";
    CONNECTION_ERRORS: Counter "bearerd_connection_errors_total" []
        "Connections that ended in an error, heads that could not be parsed among them.";
    HANDSHAKE_ERRORS: Counter "bearerd_tls_handshake_errors_total" []
        "Connections from clients on which no TLS could be agreed on.";
    RELOADS: Counter "bearerd_config_reloads_total" ["outcome"]
        "Reloads of the configuration: applied, or refused and the old one kept.";
    PANICS: Counter "bearerd_panics_total" []
        "Faults of the program that were caught; each is a bug to report.";
    LOG_DROPPED: Counter "bearerd_log_lines_dropped_total" []
        "Log lines dropped because nobody read them fast enough.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let mut seen = HashSet::new();
        for metric in TABLE {
            assert!(seen.insert(metric.name), "{} is there twice", metric.name);
            assert!(metric.name.starts_with("bearerd_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter
            );
            assert!(
                metric.help.ends_with('.'),
                "{} has no sentence",
                metric.name
            );
            assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"));
        }
    }

    #[test]
    fn no_label_can_hold_a_subject() {
        let allowed = [
            "route",
            "status",
            "code",
            "credential",
            // As the file has it, without what a recipe fills in.
            "endpoint",
            "state",
            "outcome",
            "version",
            // As the file has them.
            "upstream",
            "target",
        ];
        for label in TABLE.iter().flat_map(|metric| metric.labels) {
            assert!(
                allowed.contains(label),
                "{label} is a new label: can it hold a subject?"
            );
        }
    }
}
