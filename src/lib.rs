//! bearerd: an authenticating reverse proxy. Plain requests in, requests with the right upstream token out.
//!
//! # The life of a request
//!
//! ```text
//! listener -> connection -> stack:
//!   AccessLog          sees everything, also our own errors; one line when the body ends
//!   RecordMetrics      counts, latency, in flight
//!   Respond            the only place where an error becomes a response
//!   Admit              head, Host and browser checks           http::Request -> Admitted
//!   Authenticate       who calls                               Admitted      -> Authenticated
//!   MatchRoute         which route; may this caller use it     Authenticated -> Routed
//!                      (a vendor's login ends here: refused, or answered with a placeholder)
//!   RetryRejected      replays once a reason, at most          Routed (re-enters everything below)
//!   AttachCredential   leases the credential, waits if it must Routed        -> Credentialed
//!   Inject             strips what the client sent, adds ours, Credentialed  -> Outbound
//!                      the proof of a bound token last
//!   Forward            pool, deadlines, streaming              Outbound      -> http::Response
//! ```
//!
//! Each stage outputs a type that only its file can make, so stages in a wrong order do not compile.
//! `stack.rs` is the path on one screen.
//!
//! What is learnt on the way down (route, waiting, refusal) comes back as `layers::Facts`; nothing is
//! fished out of extensions. A new injector is a place in `injectors`, a new grant a file in
//! `credentials/grants` and a line in its table, a new vendor a YAML file in `credentials/presets`
//! and a line in its table, a new error a variant of `layers::Error`, whose `appearance` gives it
//! code and status.
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | route | what a request must look like, and where it then goes with which credential |
//! | snapshot | one generation of all routes, immutable; a reload swaps it, a request keeps its own |
//! | credential, source | what is injected; a source knows the protocol that obtains it |
//! | slot | the one place of a credential in the cache: its token, its flight, its history |
//! | preset, recipe | a vendor's credentials as YAML; the kind that most are made of: calls and signed JWTs, chained |
//! | login | a path at which the vendor hands out tokens; clients get none of them there |
//! | placeholder | what a client that insists on logging in holds instead of a token |
//! | successor | a source with other secrets than the one in use: tried while that serves |
//! | target | one of several places of an upstream; those that fail are left out for a while |
//! | lease | a credential that may be sent now; tells its generation |
//! | bound, proof | a token may serve only with a key (`credentials::ProofKey`); a proof shows that key for one request |
//! | flight | the one fetch of a slot that everybody waits for |
//! | store, record | where slots outlive the process; what is kept of one: the larger number is the newer |
//! | in doubt | a refresh token was sent, and nobody knows whether it is spent |
//! | tunnel | what two connections, or streams, become behind a 101 or an extended CONNECT: bytes pass unread, both ways |
//! | listener, entrance | where clients connect, as the file has it; one socket of it, in one worker |
//! | inherited | sockets that systemd opened before the start, by name |
//! | worker | a thread with a runtime, listeners, clients and upstream connections of its own |
//! | control | the runtime of everything else: token calls, reloads, the health and admin listeners |
//! | watch | the coarse deadline of one connection |
//!
//! # Who may import whom
//!
//! A module imports only from rows above its own and from its own folder; `tests/it/architecture.rs`
//! reads this table and checks every `use crate::`.
//!
//! ```text
//! 0 secret clock body frames gather percent tls
//! 1 config
//! 2 telemetry downstream
//! 3 credentials injectors callers upstream
//! 4 routes
//! 5 layers
//! 6 compile stack
//! 7 app
//! 8 server admin
//! 9 cli
//! ```

pub mod admin;
pub mod app;
pub mod body;
pub mod callers;
pub mod cli;
pub mod clock;
pub mod compile;
pub mod config;
pub mod credentials;
pub mod downstream;
mod frames;
mod gather;
pub mod injectors;
pub mod layers;
mod percent;
pub mod routes;
pub mod secret;
pub mod server;
pub mod stack;
pub mod telemetry;
mod tls;
pub mod upstream;
