//! `authorization_code`: a code from the authorization endpoint for a token, with PKCE (RFC 6749 4.1, 7636).

use std::{sync::Arc, time::Duration};

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
    refresh::{refresh_only, refresh_or_restart},
};
use crate::{
    config::{Diagnostic, HttpUrl, SecretSource, scalars::Named, table::Variant},
    credentials::{
        Ask, BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint,
        FingerprintBuilder, Login, Person, Refreshing, Source, TokenCall,
        login::{LoginFile, nobody},
    },
    secret::Secret,
};

mod authorization;

use authorization::{Authorization, Authorize};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_words! {
    /// How the code comes back.
    pub enum Capture {
        /// A person opens the URL that `bearerd login NAME` shows, and pastes the address where they end up, or the code.
        Paste = "paste",
        /// The authorization endpoint redirects at once; the code is read from the Location, which nobody follows.
        Redirect = "redirect",
    }
}

crate::config_struct! {
    /// A code from the authorization endpoint for a token (RFC 6749 4.1), always with PKCE. Where a person has to log in, the
    /// refresh token is kept in `store`; without one, not encrypted, in `.bearerd/NAME.login.json` beside this file.
    pub struct Config = "`authorization_code`", flatten = [oauth: OauthKeys] {
        /// The authorization endpoint; its query is kept.
        required authorize_url: HttpUrl,
        /// The redirect URI, exactly as it is registered. Nothing has to listen there.
        required redirect_uri: String,
        /// How the code comes back.
        default("paste") capture: Capture,
        /// More parameters of the authorization request.
        optional authorize_params: Named<SecretSource>,
        /// The `iss` that the authorization endpoint must answer with, where it sends one (RFC 9207);
        /// `issuer` where nothing is said.
        optional authorize_issuer: String,
        /// How long after it was spent the server takes a refresh token once more, where it does. Without it one that was
        /// sent and never answered is not sent again.
        default("0s") reuse_window: Duration,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let call = self.oauth.build(Asker::Client, cx)?;
        let headless = match self.capture.value {
            Capture::Paste => {
                self.oauth.keeps_key(cx)?;
                None
            }
            Capture::Redirect => Some(self.oauth.endpoint(&self.authorize_url, cx)?),
        };
        if headless.is_some() && HttpUrl::parse(&self.redirect_uri).is_err() {
            let error = Diagnostic::error(self.redirect_uri.span, "this is no http or https URL");
            cx.report(error.hint("`capture: redirect` compares it with the Location"));
            return None;
        }
        let params = super::oauth::pairs(self.authorize_params.as_ref(), cx)?;
        let client = self.oauth.client_id.as_ref().map_or("", |id| &id.value);
        let scope = self.oauth.scope.as_ref().map(|scope| {
            let words: Vec<&str> = scope.iter().map(|word| word.value.as_str()).collect();
            words.join(" ")
        });
        let known = self.oauth.issuer.as_ref().map(|issuer| issuer.as_issuer());
        let issuer = self.authorize_issuer.as_ref();
        let issuer = issuer.map(|it| it.value.clone()).or(known);
        let path = cx.path(&LoginFile::beside(cx.name()));
        Some(Arc::new(AuthorizationCode {
            authorize: Authorize {
                url: self.authorize_url.value.clone(),
                client_id: client.to_owned(),
                redirect_uri: self.redirect_uri.value.clone(),
                scope: scope.filter(|scope| !scope.is_empty()),
                params,
                issuer,
            },
            shown: self.authorize_url.value.without_query(),
            capture: match headless {
                Some(endpoint) => Captured::Redirect(Box::new(endpoint)),
                None => Captured::Paste {
                    file: LoginFile::new(path, call.shown(), client),
                    name: cx.name().into(),
                    reuse_window: self.reuse_window.value,
                },
            },
            call,
        }))
    }
}

/// Obtains codes and exchanges them.
#[derive(Debug)]
pub struct AuthorizationCode {
    call: TokenCall,
    authorize: Authorize,
    shown: String,
    capture: Captured,
}

#[derive(Debug)]
enum Captured {
    Redirect(Box<crate::credentials::Endpoint>),
    Paste {
        file: LoginFile,
        name: Box<str>,
        reuse_window: Duration,
    },
}

impl Source for AuthorizationCode {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        let builder = self.call.fingerprint(FingerprintBuilder::new(KEY));
        let builder = self.authorize.fingerprint(builder);
        match &self.capture {
            Captured::Redirect(endpoint) => endpoint.fingerprint(builder.number(1)),
            Captured::Paste { .. } => builder.number(2),
        }
        .finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown(), &self.shown]
    }

    fn login(&self) -> Option<&dyn Login> {
        matches!(self.capture, Captured::Paste { .. }).then_some(self as &dyn Login)
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        Some(match &self.capture {
            Captured::Redirect(_) => Refreshing::OR_ANEW,
            Captured::Paste { reuse_window, .. } => Refreshing {
                first: None,
                restarts: false,
                reuse_window: *reuse_window,
            },
        })
    }

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async move {
            let endpoint = match &self.capture {
                Captured::Paste { name, .. } => {
                    let gone = || nobody(name, ask);
                    return refresh_only(&self.call, ask, false, gone).await;
                }
                Captured::Redirect(endpoint) => endpoint,
            };
            if let Some(renewed) = refresh_or_restart(&self.call, ask, false).await? {
                return Ok(renewed);
            }
            let authorization = Authorization::begin();
            let code = self.authorize.ask(endpoint, &authorization).await;
            let code = code.map_err(|error| error.at(&self.shown))?;
            self.exchange(&code, &authorization).await
        })
    }
}

impl Login for AuthorizationCode {
    fn login<'a>(
        &'a self,
        person: &'a mut dyn Person,
    ) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let authorization = Authorization::begin();
            person.tell(&format!("Open {}", self.authorize.whole(&authorization)));
            let question = "Paste the address where you end up, or the code: ";
            let pasted = person.ask(question).await.map_err(|error| {
                FetchError::permanent(
                    FailureKind::Rejected,
                    format!("nothing was pasted: {error}"),
                )
            })?;
            let code = self.authorize.pasted(&pasted, &authorization)?;
            self.exchange(&code, &authorization).await
        })
    }

    fn file(&self) -> Option<&LoginFile> {
        match &self.capture {
            Captured::Paste { file, .. } => Some(file),
            Captured::Redirect(_) => None,
        }
    }
}

impl AuthorizationCode {
    async fn exchange(
        &self,
        code: &Secret,
        authorization: &Authorization,
    ) -> Result<Credential, FetchError> {
        let form = [
            ("grant_type", KEY),
            ("code", code.expose()),
            ("redirect_uri", &self.authorize.redirect_uri),
            ("code_verifier", authorization.verifier()),
        ];
        let ask = Ask {
            // It was fixed with the code.
            scope: false,
            ..Ask::new(&form)
        };
        Ok(self.call.ask(ask).await?.into())
    }
}

const KEY: &str = "authorization_code";
