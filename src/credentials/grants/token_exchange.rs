//! `token_exchange`: one token for another (RFC 8693), for a subject and perhaps an actor.

use std::sync::Arc;

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
};
use crate::{
    clock::{self, Instant},
    config::{Diagnostic, table::Variant},
    credentials::{
        Ask, BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint,
        FingerprintBuilder, Lease, Linked, Source, Subject, TokenCall, TokensFrom, Watched,
    },
    secret::Secret,
};

mod bearer;
mod origin;

use bearer::{Bearer, BearerKey};
use origin::{Found, Need, Origin, TokenFrom, TokenType, urn};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_words! {
    /// How a token is followed by the next.
    pub enum Renew {
        /// By an exchange of the subject's token, as before.
        Fetch = "fetch",
        /// By an exchange of the expiring token itself, which is also shown as `Authorization: Bearer`, as Iceberg has it;
        /// from the start again where that is refused.
        Exchange = "exchange",
    }
}

crate::config_struct! {
    /// One token for another (RFC 8693). What is issued neither outlives the tokens it was made of nor is renewed beyond.
    pub struct Config = "`token_exchange`", flatten = [oauth: OauthKeys] {
        /// For whom the token is.
        required subject: TokenFrom,
        /// Who acts for them.
        optional actor: TokenFrom,
        /// Whose token is shown as `Authorization: Bearer`, in the place of a client's own authentication: `subject`, `actor`
        /// or `{ credential: NAME }`.
        optional bearer: BearerKey,
        /// What kind of token to ask for; named as `type` is.
        optional requested_token_type: TokenType,
        /// How a token is followed by the next: `fetch` exchanges the subject's token again, `exchange` the expiring one
        /// itself.
        default("fetch") renew: Renew,
        /// Exchanges tokens of requests that no caller's issuer has verified.
        default("false") danger_unverified_subject: bool,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let call = self.oauth.build(Asker::ClientOrNobody, cx);
        let subject = self.subject.build(self.subject.span, cx);
        let actor = match &self.actor {
            Some(actor) => Some(actor.build(actor.span, cx)?),
            None => None,
        };
        let bearer = match &self.bearer {
            Some(key) => Some(bearer::build(key, &self.oauth, actor.is_some(), cx)?),
            None => None,
        };
        let subject = subject?;
        let shown = match &bearer {
            None => None,
            Some(Bearer::Subject) => Some(&subject),
            Some(Bearer::Actor) => actor.as_ref(),
            Some(Bearer::Of(origin)) => Some(origin),
        };
        bearer::check_bound(self, shown, cx)?;
        let needs = actor.as_ref().map_or(Need::Nobody, Origin::need);
        // A request has either a name or tokens, and those of one exchange.
        let apart = match (subject.need(), needs) {
            (_, Need::Nobody)
            | (Need::Nobody | Need::Name, Need::Name)
            | (Need::Header(_), Need::Header(_))
            | (Need::Nobody, Need::Tokens(_)) => false,
            (Need::Tokens(one), Need::Tokens(other)) => one != other,
            _ => true,
        };
        if apart {
            let span = self.actor.as_ref().map_or(cx.span(), |actor| actor.span);
            let error = Diagnostic::error(span, "subject and actor can't come from there together");
            cx.report(error.hint(
                "an actor's `header` goes with a subject's `header`, `mint` with anything but that; credentials count as what they build on",
            ));
            return None;
        }
        let needs = actor.as_ref().map_or(Need::Nobody, Origin::need);
        let tokens_from = match (subject.need(), needs) {
            (Need::Header(header), _) => Some(TokensFrom {
                subject: header.clone(),
                actor: actor.as_ref().and_then(Origin::header).cloned(),
                danger_unverified: self.danger_unverified_subject.value,
            }),
            (Need::Tokens(link), _) | (_, Need::Tokens(link)) => Some(link.clone()),
            _ => None,
        };
        Some(Arc::new(TokenExchange {
            call: call?,
            subject,
            actor,
            bearer,
            requested: self
                .requested_token_type
                .as_ref()
                .map(|it| it.value.0.clone()),
            renew: self.renew.value,
            tokens_from,
        }))
    }
}

/// Exchanges tokens.
#[derive(Debug)]
pub struct TokenExchange {
    call: TokenCall,
    subject: Origin,
    actor: Option<Origin>,
    bearer: Option<Bearer>,
    requested: Option<String>,
    renew: Renew,
    tokens_from: Option<TokensFrom>,
}

impl Source for TokenExchange {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        let builder = self.call.fingerprint(FingerprintBuilder::new(KEY));
        self.subject
            .fingerprint(builder)
            .option(self.actor.as_ref(), |b, actor| actor.fingerprint(b))
            .option(self.bearer.as_ref(), |b, bearer| match bearer {
                Bearer::Subject => b.number(1),
                Bearer::Actor => b.number(2),
                Bearer::Of(origin) => origin.fingerprint(b.number(3)),
            })
            .option(self.requested.as_deref(), FingerprintBuilder::text)
            .number(u64::from(self.renew == Renew::Exchange))
            .number(u64::from(
                self.tokens_from
                    .as_ref()
                    .is_some_and(|it| it.danger_unverified),
            ))
            .finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown()]
    }

    fn links(&self) -> Vec<&Linked> {
        self.origins().filter_map(Origin::link).collect()
    }

    fn per_subject(&self) -> bool {
        self.origins().any(Origin::is_per_subject)
    }

    fn tokens_from(&self) -> Option<&TokensFrom> {
        self.tokens_from.as_ref()
    }

    fn watched(&self) -> Vec<&Watched> {
        match self.renew {
            Renew::Fetch => self.origins().filter_map(Origin::file).collect(),
            // They only begin the chain.
            Renew::Exchange => Vec::new(),
        }
    }

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async move {
            match self.worth_exchanging(ask) {
                Some(previous) => match self.exchange_again(previous).await {
                    Err(error) if is_refused(&error) => self.begin(ask.subject).await,
                    outcome => outcome,
                },
                None => self.begin(ask.subject).await,
            }
        })
    }
}

impl TokenExchange {
    /// What is exchanged.
    fn tokens(&self) -> impl Iterator<Item = &Origin> {
        [&self.subject].into_iter().chain(self.actor.as_ref())
    }

    /// The same, and last what is only shown.
    fn origins(&self) -> impl Iterator<Item = &Origin> {
        let shown = match &self.bearer {
            Some(Bearer::Of(origin)) => Some(origin),
            _ => None,
        };
        self.tokens().chain(shown)
    }

    fn shown<'a>(&self, found: &'a [Found]) -> Option<&'a Secret> {
        let found = match self.bearer.as_ref()? {
            Bearer::Subject => found.first(),
            Bearer::Actor => found.get(1),
            Bearer::Of(_) => found.last(),
        };
        found.map(|found| &found.token)
    }

    /// The expiring token, where it is alive, was not refused, and what it was made of lives on.
    fn worth_exchanging<'a>(&self, ask: Fetch<'a>) -> Option<&'a Credential> {
        let now = clock::now();
        let previous = ask
            .previous
            .filter(|_| self.renew == Renew::Exchange && !ask.refused)?;
        let alive = previous.life.is_none_or(|life| now < previous.sent + life);
        let bounded = previous
            .until
            .is_some_and(|until| until <= now + previous.life.unwrap_or_default() / 2);
        (alive && !bounded).then_some(previous)
    }

    /// The expiring token for the next (Iceberg's refresh): it is the subject, and shown in the client's place.
    async fn exchange_again(&self, previous: &Credential) -> Result<Credential, FetchError> {
        let token = previous.part("access_token").ok_or_else(|| {
            FetchError::permanent(FailureKind::Internal, "there is no token to exchange")
        })?;
        let usual = urn("access_token");
        let kind = previous.issued_type.as_deref().unwrap_or(&usual);
        let form = [
            ("grant_type", GRANT_TYPE),
            ("subject_token", token.expose()),
            ("subject_token_type", kind),
        ];
        let ask = Ask {
            bearer: Some(token),
            ..Ask::new(&form)
        };
        let token = self.call.ask(ask).await?;
        let credential = self.call.credential(token)?;
        bounded(credential, previous.until, previous.made_from.clone())
    }

    /// The start of the chain. Links whose tokens the endpoint refuses are asked for others, once.
    async fn begin(&self, subject: &Subject) -> Result<Credential, FetchError> {
        let first = self.find(subject).await?;
        match self.exchange(&first).await {
            Err(error)
                if self.is_of_a_link(&error) && first.iter().any(|it| it.lease.is_some()) =>
            {
                self.leases(&first)
                    .for_each(|(linked, lease)| linked.reject(lease));
                let second = self.find(subject).await?;
                self.exchange(&second).await
            }
            outcome => outcome,
        }
    }

    /// The tokens of subject and actor.
    async fn find(&self, subject: &Subject) -> Result<Vec<Found>, FetchError> {
        let (given, acting) = match subject {
            Subject::Tokens(tokens) => (Some(&tokens.subject), tokens.actor.as_ref()),
            _ => (None, None),
        };
        let mut found = vec![self.subject.find(subject, given).await?];
        if let Some(actor) = &self.actor {
            found.push(actor.find(subject, acting).await?);
        }
        if let Some(Bearer::Of(origin)) = &self.bearer {
            found.push(origin.find(subject, None).await?);
        }
        Ok(found)
    }

    async fn exchange(&self, found: &[Found]) -> Result<Credential, FetchError> {
        let mut form = vec![("grant_type", GRANT_TYPE)];
        let names = [
            ("subject_token", "subject_token_type"),
            ("actor_token", "actor_token_type"),
        ];
        for ((origin, found), (name, kind)) in self.tokens().zip(found).zip(names) {
            form.push((name, found.token.expose()));
            form.push((kind, &origin.kind));
        }
        if let Some(requested) = &self.requested {
            form.push(("requested_token_type", requested));
        }
        let ask = Ask {
            bearer: self.shown(found),
            ..Ask::new(&form)
        };
        let token = self.call.ask(ask).await?;
        self.leases(found)
            .for_each(|(linked, lease)| linked.accept(lease));
        // What is only shown bounds nothing: the token is not made of it.
        let made_of = self.tokens().zip(found);
        let until = made_of.filter_map(|(_, found)| found.until).min();
        let leases = found.iter().filter_map(|found| found.lease.clone());
        bounded(self.call.credential(token)?, until, leases.collect())
    }

    /// RFC 8693 2.2.2 and Iceberg's catalogs: the tokens are at fault, not the client; with `bearer`, a token is the client.
    fn is_of_a_link(&self, error: &FetchError) -> bool {
        let status = error.refusal.map(|refused| refused.status);
        match error.code() {
            Some("invalid_grant") => true,
            // Polaris says it of an expired subject, with this status.
            Some("invalid_client") if status == Some(400) => true,
            Some("invalid_client" | "unauthorized_client") if self.bearer.is_none() => false,
            _ => status == Some(401),
        }
    }

    fn leases<'a>(&'a self, found: &'a [Found]) -> impl Iterator<Item = (&'a Linked, &'a Lease)> {
        self.origins()
            .zip(found)
            .filter_map(|(origin, found)| Some((origin.link()?, found.lease.as_ref()?)))
    }
}

/// A credential that ends with what it was made of, at the latest.
fn bounded(
    credential: Credential,
    until: Option<Instant>,
    made_from: Vec<Lease>,
) -> Result<Credential, FetchError> {
    let most = until.map(|until| until.saturating_duration_since(credential.sent));
    let life = credential.life.into_iter().chain(most).min();
    if life.is_some_and(|life| life.is_zero()) {
        return Err(FetchError::malformed(
            "the token that was exchanged has ended meanwhile",
        ));
    }
    Ok(Credential {
        life,
        // The chain begins anew instead.
        refresh: None::<Secret>,
        made_from,
        until,
        ..credential
    })
}

/// The endpoint said no, as opposed to nothing or "not now".
fn is_refused(error: &FetchError) -> bool {
    error.kind == FailureKind::Rejected && error.refusal.is_some()
}

const KEY: &str = "token_exchange";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

#[cfg(test)]
mod tests;
