//! A call to a token endpoint as every OAuth grant makes it: the grant's own parameters, who we are, what we ask for.

use std::{sync::Arc, time::Duration};

use form_urlencoded::parse;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST,
        TRANSFER_ENCODING,
    },
};
use zeroize::Zeroizing;

use super::{
    ClientAuth, Credential, Discovery, Endpoint, FailureKind, FetchError, FingerprintBuilder,
    calls,
    endpoint::Answer,
    form::Form,
    token_response,
    token_words::{self, Sent},
};
use crate::secret::Secret;

mod token;

pub use token::Token;

/// The settings that all OAuth grants share.
#[derive(Clone, Debug)]
pub struct TokenCall {
    target: Target,
    auth: ClientAuth,
    extras: Extras,
}

/// Where a token call goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// To the token endpoint of the file.
    Endpoint(Box<Endpoint>),
    /// To the one that the issuer's document names.
    Issuer(Arc<Discovery>),
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self::Endpoint(Box::new(endpoint))
    }
}

impl From<Discovery> for Target {
    fn from(discovery: Discovery) -> Self {
        Self::Issuer(Arc::new(discovery))
    }
}

/// What one token call asks.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The grant's own parameters, `grant_type` among them.
    pub form: &'a [(&'a str, &'a str)],
    /// Shown as `Authorization: Bearer` in the place of the client's own authentication.
    pub bearer: Option<&'a Secret>,
    /// Whether `scope` is sent; not where it was fixed before, as with a code.
    pub scope: bool,
}

impl<'a> Ask<'a> {
    /// With these parameters and what the file says.
    pub fn new(form: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            form,
            bearer: None,
            scope: true,
        }
    }
}

/// A request and its answer.
struct Exchange {
    answer: Answer,
    sent: Sent,
}

/// What a token call carries beside the grant's own parameters.
#[derive(Clone, Debug)]
pub struct Extras {
    /// `scope`, as one text.
    pub scope: Option<String>,
    /// `audience`, once for each.
    pub audiences: Vec<String>,
    /// `resource` (RFC 8707), once for each.
    pub resources: Vec<String>,
    /// More form parameters.
    pub params: Vec<(String, Secret)>,
    /// More header fields; values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// More parameters of the URL's query.
    pub query: Vec<(String, Secret)>,
    /// The life of a token that comes without one.
    pub default_expires_in: Duration,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            scope: None,
            audiences: Vec::new(),
            resources: Vec::new(),
            params: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            default_expires_in: Duration::from_secs(3600),
        }
    }
}

/// Settings that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenCallError {
    /// A parameter that the grant or the client authentication sends already.
    #[error("parameter `{0}` is sent already; a parameter may stand in a token request only once")]
    Parameter(String),
    /// A field that frames the request, or would be a second client authentication.
    #[error("header `{0}` of a token request can't be set")]
    Header(HeaderName),
}

impl TokenCall {
    /// Checks that nothing is sent twice (RFC 6749 2.3, 3.2).
    ///
    /// # Errors
    /// [`TokenCallError`] names the parameter or header.
    pub fn new(
        target: impl Into<Target>,
        auth: ClientAuth,
        extras: Extras,
    ) -> Result<Self, TokenCallError> {
        let taken = |name: &str| {
            RESERVED.contains(&name)
                || name == "scope" && extras.scope.is_some()
                || name == "audience" && !extras.audiences.is_empty()
                || name == "resource" && !extras.resources.is_empty()
        };
        for (at, (name, _)) in extras.params.iter().enumerate() {
            let repeated = extras.params[..at]
                .iter()
                .any(|(earlier, _)| earlier == name);
            if repeated || taken(name) {
                return Err(TokenCallError::Parameter(name.clone()));
            }
        }
        for (name, _) in &extras.headers {
            if FRAMING.contains(name) || *name == AUTHORIZATION && auth.uses_header() {
                return Err(TokenCallError::Header(name.clone()));
            }
        }
        Ok(Self {
            target: target.into(),
            auth,
            extras,
        })
    }

    /// Where it calls, as it may be shown; the issuer, as long as the token endpoint is not known.
    pub fn shown(&self) -> &str {
        match &self.target {
            Target::Endpoint(endpoint) => endpoint.shown(),
            Target::Issuer(discovery) => discovery.shown(),
        }
    }

    /// Asks for a credential; `grant` holds the grant's own parameters, `grant_type` among them.
    ///
    /// # Errors
    /// [`FetchError`] whose detail begins with the endpoint.
    pub async fn run(&self, grant: &[(&str, &str)]) -> Result<Credential, FetchError> {
        let token = self.ask(Ask::new(grant)).await?;
        self.credential(token)
    }

    /// The credential that a token is, where its refresh token is of no use.
    ///
    /// # Errors
    /// [`FetchError`] for one that is dead on arrival; its detail begins with the endpoint.
    pub fn credential(&self, token: Token) -> Result<Credential, FetchError> {
        token_response::alive(token.life).map_err(|error| error.at(self.shown()))?;
        Ok(token.into())
    }

    /// Asks for a token, which may be dead on arrival.
    ///
    /// # Errors
    /// [`FetchError`] whose detail begins with the endpoint.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Token, FetchError> {
        self.token(ask)
            .await
            .map_err(|error| error.at(self.shown()))
    }

    async fn token(&self, ask: Ask<'_>) -> Result<Token, FetchError> {
        let Exchange { answer, sent } = self.exchange(ask).await?;
        let read =
            token_response::read_whole(answer.status, &answer.headers, &answer.body, answer.wall)
                .map_err(|error| match error.refusal {
                Some(_) => {
                    error.with_words(token_words::words(&answer.headers, &answer.body, &sent))
                }
                None => error,
            })?;
        Ok(Token {
            life: read.life.unwrap_or(self.extras.default_expires_in),
            access_token: read.access_token,
            refresh_token: read.refresh_token,
            scope: read.scope,
            issued_token_type: read.issued_token_type,
            sent: answer.sent,
            wall: answer.wall,
        })
    }

    /// The answer as it came, for endpoints that issue something else than tokens.
    pub(super) async fn send(&self, ask: Ask<'_>) -> Result<Answer, FetchError> {
        Ok(self.exchange(ask).await?.answer)
    }

    async fn exchange(&self, ask: Ask<'_>) -> Result<Exchange, FetchError> {
        let discovery = match &self.target {
            Target::Endpoint(endpoint) => return self.send_to(endpoint, ask).await,
            Target::Issuer(discovery) => discovery,
        };
        let found = discovery.find(false).await;
        let found = found.map_err(FetchError::before_sending)?;
        let first = self.send_to(&found.endpoint, ask).await?;
        let moved = found.cached && matches!(first.answer.status.as_u16(), 404 | 410);
        if moved
            && let Ok(newer) = discovery.find(true).await
            && newer.endpoint.shown() != found.endpoint.shown()
        {
            return self.send_to(&newer.endpoint, ask).await;
        }
        Ok(first)
    }

    async fn send_to(&self, endpoint: &Endpoint, ask: Ask<'_>) -> Result<Exchange, FetchError> {
        let mut form = Form::default();
        for (name, value) in ask.form {
            form.add(name, value);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.extras.headers {
            headers.append(name, value.clone());
        }
        let authorization = match ask.bearer {
            // One mechanism in a request (RFC 6749 2.3): the token stands for the client.
            Some(token) => Some(bearer(token)?),
            None => {
                let applied = self.auth.apply(&mut form, endpoint.shown()).await;
                applied.map_err(FetchError::before_sending)?
            }
        };
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        self.ask_for(ask.scope, &mut form);
        let client_auth = match ask.bearer {
            Some(_) => "bearer",
            None => self.auth.as_str(),
        };
        let scope = self.extras.scope.as_deref().filter(|_| ask.scope);
        calls::asking(client_auth, scope);
        let sent = self.secrets_of(endpoint, &headers, &form);
        let answer = endpoint.post(&self.extras.query, headers, &form).await?;
        Ok(Exchange { answer, sent })
    }

    /// What of a request must not come back in an error.
    fn secrets_of(&self, endpoint: &Endpoint, headers: &HeaderMap, form: &Form) -> Sent {
        let mut sent = Sent::default();
        let texts = [form.as_str(), endpoint.query()];
        for (name, value) in texts.into_iter().flat_map(|text| parse(text.as_bytes())) {
            if !SHOWN.contains(&name.as_ref()) {
                sent.add(&Zeroizing::new(value.into_owned()));
            }
        }
        for (_, value) in &self.extras.query {
            sent.add(value.expose());
        }
        for value in headers.values().filter_map(|value| value.to_str().ok()) {
            // Of `Basic abc` and `Bearer abc`, the scheme is none.
            sent.add(value.split_once(' ').map_or(value, |(_, rest)| rest));
        }
        if let Some(secret) = self.auth.secret() {
            sent.add(secret.expose());
        }
        sent
    }

    fn ask_for(&self, scope: bool, form: &mut Form) {
        if let Some(scope) = self.extras.scope.as_ref().filter(|_| scope) {
            form.add("scope", scope);
        }
        for audience in &self.extras.audiences {
            form.add("audience", audience);
        }
        for resource in &self.extras.resources {
            form.add("resource", resource);
        }
        for (name, value) in &self.extras.params {
            form.add(name, value.expose());
        }
    }

    /// Adds all of it to a source's fingerprint.
    pub fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        let texts = |builder: FingerprintBuilder, list: &[String]| {
            builder.list(list.iter(), |b, text| b.text(text))
        };
        let pairs = |builder: FingerprintBuilder, list: &[(String, Secret)]| {
            builder.list(list.iter(), |b, (name, value)| b.text(name).secret(value))
        };
        let extras = &self.extras;
        let builder = match &self.target {
            Target::Endpoint(endpoint) => endpoint.fingerprint(builder),
            Target::Issuer(discovery) => discovery.fingerprint(builder),
        };
        let builder = self.auth.fingerprint(builder);
        let builder = builder.option(extras.scope.as_deref(), FingerprintBuilder::text);
        let builder = texts(texts(builder, &extras.audiences), &extras.resources);
        pairs(pairs(builder, &extras.params), &extras.query)
            .list(extras.headers.iter(), |b, (name, value)| {
                b.text(name.as_str()).bytes(value.as_bytes())
            })
            .bytes(&extras.default_expires_in.as_nanos().to_be_bytes())
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, FetchError> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        FetchError::permanent(
            FailureKind::Rejected,
            "a token that can't stand in a header was to be shown to it",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

const RESERVED: [&str; 5] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

const FRAMING: [HeaderName; 6] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    TRANSFER_ENCODING,
    ACCEPT_ENCODING,
];

/// Parameters that are no secrets: an error may name their values.
const SHOWN: [&str; 9] = [
    "grant_type",
    "client_id",
    "client_assertion_type",
    "scope",
    "audience",
    "resource",
    "subject_token_type",
    "actor_token_type",
    "requested_token_type",
];
