//! A call to a token endpoint as every OAuth grant makes it: the grant's own parameters, who we are, what we ask for.

use std::{sync::Arc, time::Duration};

use form_urlencoded::parse;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use zeroize::Zeroizing;

use super::{
    ClientAuth, Credential, DPOP, Discovery, Endpoint, FailureKind, FetchError, FingerprintBuilder,
    ProofKey, calls,
    endpoint::Answer,
    form::Form,
    token_response::{self, TokenType},
    token_words::{self, Sent},
};
use crate::secret::Secret;

mod extras;
mod revocation;
mod token;

pub use extras::{Extras, TokenCallError};
pub use revocation::Revocation;
pub use token::Token;

/// The settings that all OAuth grants share.
#[derive(Clone, Debug)]
pub struct TokenCall {
    target: Target,
    auth: ClientAuth,
    extras: Extras,
    /// What tokens are to be bound to.
    key: Option<Arc<ProofKey>>,
    revocation: Option<Revocation>,
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
        extras.check(&auth)?;
        Ok(Self {
            target: target.into(),
            auth,
            extras,
            key: None,
            revocation: None,
        })
    }

    /// The same for tokens that are bound to `key` (RFC 9449).
    ///
    /// # Errors
    /// [`TokenCallError::Header`] where the file has a proof of its own.
    pub fn bind(self, key: Arc<ProofKey>) -> Result<Self, TokenCallError> {
        if self.extras.headers.iter().any(|(name, _)| *name == DPOP) {
            return Err(TokenCallError::Header(DPOP));
        }
        let key = Some(key);
        Ok(Self { key, ..self })
    }

    /// What its tokens are bound to.
    pub fn proof_key(&self) -> Option<&Arc<ProofKey>> {
        self.key.as_ref()
    }

    /// Where it calls, as it may be shown; the issuer, as long as the token endpoint is not known.
    pub fn shown(&self) -> &str {
        match &self.target {
            Target::Endpoint(endpoint) => endpoint.shown(),
            Target::Issuer(discovery) => discovery.shown(),
        }
    }

    /// How long a connection and a whole call may take.
    pub(super) fn deadlines(&self) -> [Duration; 2] {
        match &self.target {
            Target::Endpoint(endpoint) => endpoint.deadlines(),
            Target::Issuer(discovery) => discovery.deadlines(),
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
        let wanted = match self.key {
            Some(_) => TokenType::Dpop,
            None => TokenType::Bearer,
        };
        let (headers, body) = (&answer.headers, &answer.body);
        let read = token_response::read_whole(answer.status, headers, body, wanted, answer.wall)
            .map_err(|error| match error.refusal {
                Some(_) => error.with_words(token_words::words(headers, body, &sent)),
                None => error,
            })?;
        Ok(Token {
            life: read.life.unwrap_or(self.extras.default_expires_in),
            access_token: read.access_token,
            refresh_token: read.refresh_token,
            scope: read.scope,
            issued_token_type: read.issued_token_type,
            sent: answer.sent,
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

    /// With a proof where tokens are bound; once more where the endpoint wants its nonce in it (RFC 9449 8).
    async fn send_to(&self, endpoint: &Endpoint, ask: Ask<'_>) -> Result<Exchange, FetchError> {
        let Some(key) = &self.key else {
            return self.send_once(endpoint, ask, None).await;
        };
        let nonce = key.nonce_of(endpoint.shown());
        let mut again = false;
        loop {
            let known = nonce.get();
            let proof = key.prove(
                "POST",
                endpoint.shown(),
                None,
                known.as_deref().map(|it| &**it),
            )?;
            let exchange = self.send_once(endpoint, ask, Some(proof)).await?;
            let answer = &exchange.answer;
            let given = nonce.hear(&answer.headers);
            if again || !given || !token_response::asks_nonce(answer.status, &answer.body) {
                return Ok(exchange);
            }
            again = true;
        }
    }

    async fn send_once(
        &self,
        endpoint: &Endpoint,
        ask: Ask<'_>,
        proof: Option<HeaderValue>,
    ) -> Result<Exchange, FetchError> {
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
        if let Some(proof) = proof {
            headers.insert(DPOP, proof);
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
            .option(self.key.as_ref(), |b, key| key.fingerprint(b))
            // Says nothing of what tokens are for, and must not have any fetched that requests wait for.
            .authentication(|b| b.option(self.revocation.as_ref(), |b, it| it.fingerprint(b)))
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

/// Parameters that are no secrets: an error may name their values.
pub(super) const SHOWN: [&str; 9] = [
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
