//! `device_code`: a person logs in elsewhere, with a code that we show (RFC 8628).

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
    refresh::refresh_only,
};
use crate::{
    clock,
    config::{HttpUrl, Sp, table::Variant},
    credentials::{
        Ask, BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint,
        FingerprintBuilder, Login, Person, Refreshing, Source, TokenCall,
        login::{LoginFile, nobody},
    },
    secret::Secret,
};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_struct! {
    /// A person's account (RFC 8628): `bearerd login NAME` shows a code that they enter in a browser, once. The refresh token
    /// is kept in `store`; without one, not encrypted, in `.bearerd/NAME.login.json` beside this file.
    pub struct Config = "`device_code`", flatten = [oauth: OauthKeys] {
        /// The device authorization endpoint.
        required device_authorization_url: HttpUrl,
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
        self.oauth.keeps_key(cx)?;
        let call = self.oauth.build(Asker::Client, cx)?;
        let elsewhere = OauthKeys {
            token_url: Some(self.device_authorization_url.clone()),
            issuer: None,
            // What comes from there is no token.
            dpop: None,
            revoke_on_exit: Sp::new(false, self.oauth.revoke_on_exit.span),
            revocation_url: None,
            ..self.oauth.clone()
        };
        let begin = elsewhere.build(Asker::Client, cx)?;
        let client = self.oauth.client_id.as_ref().map_or("", |id| &id.value);
        let path = cx.path(&LoginFile::beside(cx.name()));
        Some(Arc::new(DeviceCode {
            file: LoginFile::new(path, call.shown(), client),
            name: cx.name().into(),
            reuse_window: self.reuse_window.value,
            call,
            begin,
        }))
    }
}

/// Uses what a person's login left.
#[derive(Debug)]
pub struct DeviceCode {
    call: TokenCall,
    begin: TokenCall,
    file: LoginFile,
    name: Box<str>,
    reuse_window: Duration,
}

impl Source for DeviceCode {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        let builder = self.call.fingerprint(FingerprintBuilder::new(KEY));
        self.begin.fingerprint(builder).finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown(), self.begin.shown()]
    }

    fn login(&self) -> Option<&dyn Login> {
        Some(self)
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        Some(Refreshing {
            first: None,
            restarts: false,
            reuse_window: self.reuse_window,
        })
    }

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let gone = move || nobody(&self.name, ask);
        Box::pin(refresh_only(&self.call, ask, false, gone))
    }
}

impl Login for DeviceCode {
    fn login<'a>(
        &'a self,
        person: &'a mut dyn Person,
    ) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let begun = self.begin().await.map_err(|it| it.at(self.begin.shown()))?;
            let url = &begun.verification_uri;
            person.tell(&match &begun.verification_uri_complete {
                Some(whole) => format!(
                    "Open {whole}\nor open {url} and enter the code {}",
                    begun.user_code
                ),
                None => format!("Open {url} and enter the code {}", begun.user_code),
            });
            self.poll(&begun).await
        })
    }

    fn file(&self) -> Option<&LoginFile> {
        Some(&self.file)
    }
}

impl DeviceCode {
    async fn begin(&self) -> Result<Begun, FetchError> {
        let answer = self.begin.send(Ask::new(&[])).await?;
        if !answer.status.is_success() {
            return Err(crate::credentials::read_token_response(
                answer.status,
                &answer.headers,
                &answer.body,
                answer.wall,
            )
            .err()
            .unwrap_or_else(|| FetchError::malformed("a refusal that is none")));
        }
        let begun: Begun = serde_json::from_slice(&answer.body).map_err(|_| {
            FetchError::malformed("the answer is no device authorization (RFC 8628 3.2)")
        })?;
        if begun.can_be_shown() {
            Ok(begun)
        } else {
            Err(FetchError::malformed(
                "a code or address that can't be shown",
            ))
        }
    }

    /// Asks until the person is done.
    async fn poll(&self, begun: &Begun) -> Result<Credential, FetchError> {
        let ends = clock::now() + Duration::from_secs(begun.expires_in.min(LONGEST_LOGIN));
        let device_code = Secret::new(begun.device_code.as_str());
        let form = [
            ("grant_type", GRANT_TYPE),
            ("device_code", device_code.expose()),
        ];
        let mut pause = Pause::new(begun.interval);
        loop {
            tokio::time::sleep(pause.0).await;
            if clock::now() >= ends {
                return Err(FetchError::permanent(
                    FailureKind::Rejected,
                    "the code has expired before it was entered",
                ));
            }
            let ask = Ask {
                scope: false,
                ..Ask::new(&form)
            };
            match self.call.ask(ask).await {
                Ok(token) => return Ok(token.into()),
                Err(error) => pause.after(&error).ok_or(error)?,
            }
        }
    }
}

/// How long to wait before the next question (RFC 8628 3.5).
#[derive(Debug, PartialEq, Eq)]
struct Pause(Duration);

impl Pause {
    fn new(interval: Option<u64>) -> Self {
        let seconds = interval
            .unwrap_or(USUAL_INTERVAL)
            .clamp(1, LONGEST_INTERVAL);
        Self(Duration::from_secs(seconds))
    }

    /// None where asking again is no use.
    fn after(&mut self, error: &FetchError) -> Option<()> {
        self.0 = match (error.code(), error.kind) {
            (Some("authorization_pending"), _) => self.0,
            (Some("slow_down"), _) | (_, FailureKind::RateLimited) => self.0 + SLOWER,
            (
                _,
                FailureKind::Timeout
                | FailureKind::Unreachable
                | FailureKind::Interrupted
                | FailureKind::Untrusted
                | FailureKind::Failing,
            ) => self.0 * 2,
            _ => return None,
        };
        self.0 = self.0.min(Duration::from_secs(LONGEST_INTERVAL));
        Some(())
    }
}

#[derive(Deserialize)]
struct Begun {
    device_code: zeroize::Zeroizing<String>,
    user_code: String,
    // Some vendors' older spelling.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Begun {
    /// On a terminal, which obeys some characters.
    fn can_be_shown(&self) -> bool {
        let fine = |text: &String| {
            let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            plain && !text.is_empty() && text.len() <= 2000
        };
        fine(&self.user_code)
            && fine(&self.verification_uri)
            && self.verification_uri_complete.as_ref().is_none_or(fine)
    }
}

const KEY: &str = "device_code";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const USUAL_INTERVAL: u64 = 5;
const SLOWER: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL: u64 = 60;
const LONGEST_LOGIN: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Refused;

    fn refused(code: &'static str) -> FetchError {
        FetchError {
            refusal: Some(Refused {
                status: 400,
                code: Some(code),
            }),
            ..FetchError::permanent(FailureKind::Rejected, "")
        }
    }

    #[test]
    fn the_pause_is_five_seconds_and_grows_for_good_when_asked() {
        let mut pause = Pause::new(None);
        assert_eq!(pause.0.as_secs(), 5);
        assert_eq!(pause.after(&refused("authorization_pending")), Some(()));
        assert_eq!(pause.0.as_secs(), 5);
        assert_eq!(pause.after(&refused("slow_down")), Some(()));
        assert_eq!(pause.after(&refused("authorization_pending")), Some(()));
        assert_eq!(pause.0.as_secs(), 10);
        let silent = FetchError::transient(FailureKind::Timeout, "");
        assert_eq!(pause.after(&silent), Some(()));
        assert_eq!(pause.0.as_secs(), 20);
        for _ in 0..10 {
            pause.after(&silent);
        }
        assert_eq!(pause.0.as_secs(), 60);
    }

    #[test]
    fn anything_else_ends_the_questions() {
        for code in [
            "access_denied",
            "expired_token",
            "invalid_grant",
            "invalid_client",
        ] {
            assert_eq!(Pause::new(Some(1)).after(&refused(code)), None, "{code}");
        }
        assert_eq!(Pause::new(Some(0)).0.as_secs(), 1);
        assert_eq!(Pause::new(Some(u64::MAX)).0.as_secs(), 60);
    }
}
