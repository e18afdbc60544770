//! One middleware a file, named by its verb; each takes the type that the one above it makes.

mod access_log;
mod admit;
mod attach_credential;
mod authenticate;
mod dpop;
mod early;
mod error;
mod fields;
mod forward;
mod forwarded;
mod hop_by_hop;
mod inbound;
mod inject;
mod login;
mod match_route;
mod record_metrics;
mod reply;
mod respond;
mod response_head;
mod retry_rejected;
mod subject;

pub use access_log::AccessLog;
pub use admit::{Admit, Admitted, Head, LastHost, check_host};
pub use attach_credential::{AttachCredential, Credentialed};
pub use authenticate::{Authenticate, Authenticated};
pub use error::{Appearance, Error, Failure};
pub use fields::Fields;
pub use forward::forward;
pub use inbound::{Connection, Inbound};
pub use inject::{Inject, Outbound, preview};
pub use login::check_login;
pub use match_route::{MatchRoute, Routed};
pub use record_metrics::{InFlight, Metered, RecordMetrics};
pub use reply::{Facts, NonceAsked, Outcome, Refusal, Reply, ReplyBody, Why};
pub use respond::{Respond, written};
pub use retry_rejected::RetryRejected;
