//! What to change, from what was seen: rules that know one grant or one vendor's endpoint first, then those for everybody.

use super::report::{Finding, Outcome};

/// What is worth saying about a credential.
pub(super) fn on(finding: &Finding) -> Vec<String> {
    let mut hints = Vec::new();
    if finding.outcome == Outcome::Failed {
        let case = Case::of(finding);
        let fits = |rule: &&Rule| (rule.0)(&case);
        let rule = [&LOCAL[..], &VENDORS, &ALL]
            .into_iter()
            .find_map(|rules| rules.iter().find(fits));
        hints.extend(rule.map(|rule| rule.1.to_owned()));
    }
    hints.extend(scope(finding));
    hints.extend(clock(finding));
    hints
}

/// A failure, as the rules look at it.
#[derive(Debug, Default)]
struct Case<'a> {
    grant: &'a str,
    called: bool,
    /// The path of the call that ended it.
    path: &'a str,
    kind: &'a str,
    status: u16,
    code: &'a str,
    client_auth: &'a str,
    dpop: bool,
}

impl<'a> Case<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Some(failure) = &finding.failure else {
            return Self::default();
        };
        let last = finding.calls.last();
        let path = last.and_then(|call| {
            let (_, rest) = call.endpoint.split_once("://")?;
            rest.find('/').map(|at| &rest[at..])
        });
        let status = failure.status.or(last.and_then(|call| call.status));
        Self {
            grant: finding.kind,
            called: last.is_some(),
            path: path.unwrap_or_default(),
            kind: failure.kind,
            status: status.unwrap_or_default(),
            code: failure.code.unwrap_or_default(),
            client_auth: finding.client_auth.unwrap_or_default(),
            dpop: finding.dpop.is_some(),
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self.status, 401 | 403) || REFUSED.contains(&self.code)
    }
}

/// When it applies, and what to say then.
type Rule = (fn(&Case<'_>) -> bool, &'static str);

/// For what is no call, and for logins, which only a person can mend.
const LOCAL: [Rule; 4] = [
    (
        |it| LOGINS.contains(&it.grant) && (!it.called || it.code == "invalid_grant"),
        "a person has to log in first: `bearerd login` with the credential's name",
    ),
    (
        |it| it.grant == "exec" && it.kind == "malformed",
        "run the program by hand: it is to print the token and nothing else, or JSON as the handbook describes it",
    ),
    (
        |it| it.grant == "exec",
        "run the program by hand, as the user that bearerd runs as",
    ),
    (
        |it| it.grant == "file",
        "is the file there, readable for the user that bearerd runs as, and its token still good?",
    ),
];

const VENDORS: [Rule; 9] = [
    (
        |it| it.path.ends_with("/login/idm/tokens") && it.status == 404,
        "a pod older than 20.13 has no /login/idm/tokens: it needs an upgrade; until then only session tokens work",
    ),
    (
        |it| it.path.ends_with("/login/idm/tokens") && it.status == 403,
        "the account lacks the entitlement for this scope (`sym-files`: the role Content Export Reader); an administrator of the pod gives it, another login does not help",
    ),
    (
        |it| it.path.ends_with("/pubkey/authenticate") && it.is_refused(),
        "is the public half of this very key imported for the service account, is the user name right, and is this machine's clock? The pod takes assertions of 300 s at most",
    ),
    (
        |it| (it.path.contains("/sessionauth/") || it.path.contains("/keyauth/")) && it.status != 0,
        "the certificate's CN is to be the service account's user name, its issuer known to the pod, and certificate logins usually have a port of their own (8444)",
    ),
    (
        |it| it.path.ends_with("/oauth2/token:generate") && it.is_refused(),
        "check the app id and the app secret: both stand on the platform's home page, and a new secret ends the old one",
    ),
    (
        |it| it.path.contains("/configapi/") && it.is_refused(),
        "the client id is a user's login and the secret that user's API secret; the scope is the tenant's host name. Do not try on: some wrong secrets lock the user out, and then the right one is refused as well",
    ),
    (
        |it| it.path.ends_with("/api/oauth2/Token") && it.status == 400,
        "`Invalid Code`: is the redirect URI, character by character, one of the API user's, the same in both steps, and does a load balancer keep both steps at one instance?",
    ),
    (
        |it| it.path.contains("/api/oauth2") && it.is_refused(),
        "check client id and secret, and that the redirect URI is one of the API user's, character by character",
    ),
    (
        |it| it.path.ends_with("/v1/oauth/tokens") && it.code == "invalid_scope",
        "Polaris wants `PRINCIPAL_ROLE:NAME` or `PRINCIPAL_ROLE:ALL` as scope; other catalogs want `catalog`",
    ),
];

const ALL: [Rule; 27] = [
    (
        |it| it.code == "invalid_dpop_proof",
        "is this machine's clock right, and `token_url` the very URL that the server knows itself by? The proof holds both",
    ),
    (
        |it| it.dpop && it.kind == "malformed" && it.status == 200,
        "the server is to bind this client's tokens (DPoP, RFC 9449): its registration there decides; else take `dpop` out",
    ),
    (
        |it| it.is_refused() && it.client_auth == "basic",
        "check client id and secret. With special characters in them, some servers want `client_auth: basic_raw` (no form-encoding within Basic), others `body`",
    ),
    (
        |it| it.is_refused() && it.client_auth == "basic_raw",
        "check client id and secret; a server that keeps to RFC 6749 2.3.1 wants `client_auth: basic`, others `body`",
    ),
    (
        |it| it.is_refused() && it.client_auth == "body",
        "check client id and secret; some servers take them only as `client_auth: basic`",
    ),
    (
        |it| it.is_refused() && it.client_auth == "private_key_jwt",
        "is the public half of this key registered for this client, under the same `kid`? Some servers want the issuer as the assertion's audience, others the token URL; a wrong clock makes it expired or not yet valid",
    ),
    (
        |it| it.is_refused() && it.client_auth == "client_secret_jwt",
        "check the secret and the algorithm that the server expects; a wrong clock makes the assertion expired or not yet valid",
    ),
    (
        |it| it.is_refused() && it.client_auth == "tls",
        "is the client certificate the one that is registered for this client id, and is this the server's mTLS endpoint?",
    ),
    (
        |it| it.is_refused() && it.client_auth == "bearer",
        "the token that this call carries is not taken here: look at the credential that it builds on",
    ),
    (
        |it| it.is_refused() && it.client_auth == "none",
        "the server may want this client to prove who it is: `client_secret` and `client_auth`",
    ),
    (
        |it| it.code == "invalid_scope",
        "ask for another `scope`: the server does not know this one, or this client may not have it",
    ),
    (
        |it| it.code == "unauthorized_client",
        "the client is known, but may not use this grant: its registration at the server decides",
    ),
    (
        |it| it.code == "unsupported_grant_type",
        "the server does not offer this grant, or not at this URL",
    ),
    (
        |it| it.code == "invalid_grant",
        "what the grant itself carries (refresh token, password, assertion, code, subject token) is wrong, spent or expired",
    ),
    (
        |it| it.code == "invalid_target",
        "the server does not know this `audience` or `resource`",
    ),
    (
        |it| it.status == 415,
        "it wants another kind of body: many endpoints take only a form, some only JSON",
    ),
    (
        |it| matches!(it.status, 404 | 405),
        "there is no token endpoint at this path: compare the URL with the vendor's documentation, upper and lower case included",
    ),
    (
        |it| it.status == 400,
        "it takes the call for ill-formed: a parameter is missing or one too many, or `client_auth` is not what it expects",
    ),
    (
        |it| it.is_refused(),
        "check what stands in the file for this credential: the endpoint does not take it",
    ),
    (
        |it| it.kind == "unreachable" && it.status == 0,
        "is it up and reachable from here? Where its certificate is not publicly trusted, `ca:` names the authority",
    ),
    (
        |it| it.kind == "timeout",
        "it does not answer in time; is a proxy or firewall between?",
    ),
    (
        |it| it.kind == "rate_limited",
        "it asks for fewer calls: wait before the next try",
    ),
    (
        |it| it.kind == "failing" || it.kind == "interrupted" && it.status == 0,
        "it is in trouble itself: try again later",
    ),
    (
        |it| it.kind == "redirect",
        "redirects are never followed, they would carry the secret elsewhere: write the final URL",
    ),
    (
        |it| it.kind == "malformed",
        "its answer holds no usable token: is this really the token endpoint?",
    ),
    (
        |it| it.kind == "rejected",
        "check what stands in the file for this credential",
    ),
    (
        |it| it.kind == "internal",
        "this is a fault of bearerd: please report it",
    ),
];

/// The grants that begin with a person.
const LOGINS: [&str; 2] = ["authorization_code", "device_code"];

/// Codes that blame the client.
const REFUSED: [&str; 2] = ["invalid_client", "access_denied"];

/// A server may grant less than was asked for, without a word.
fn scope(finding: &Finding) -> Option<String> {
    let (asked, granted) = (
        finding.scope_asked.as_ref()?,
        finding.scope_granted.as_ref()?,
    );
    let granted: Vec<_> = granted.split(' ').collect();
    let missing: Vec<_> = asked
        .split(' ')
        .filter(|scope| !granted.contains(scope))
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "the server did not grant `{}`",
            super::jwt::clean(&missing.join(" "))
        )
    })
}

fn clock(finding: &Finding) -> Option<String> {
    let mut all = finding.calls.iter().filter_map(|call| call.clock_ahead);
    let ahead = all.find(|ahead| ahead.abs() > WRONG_CLOCK)?;
    let way = if ahead > 0.0 { "behind" } else { "ahead of" };
    Some(format!(
        "this machine's clock is {:.0} s {way} the endpoint's: set it, since assertions and lives depend on it",
        ahead.abs()
    ))
}

/// In seconds.
const WRONG_CLOCK: f64 = 30.0;
