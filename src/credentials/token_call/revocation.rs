//! Tokens that nobody needs any more are given back (RFC 7009).

use http::{HeaderMap, StatusCode, header::AUTHORIZATION};

use super::{Target, TokenCall};
use crate::{
    credentials::{
        Endpoint, FailureKind, FetchError, FingerprintBuilder, form::Form, token_response,
    },
    secret::Secret,
};

/// Where tokens are revoked.
#[derive(Clone, Debug)]
pub enum Revocation {
    /// At the endpoint of the file.
    At(Box<Endpoint>),
    /// At the one that the issuer's document names.
    ByIssuer,
}

impl Revocation {
    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        match self {
            Self::At(endpoint) => endpoint.fingerprint(builder.number(1)),
            Self::ByIssuer => builder.number(2),
        }
    }
}

impl TokenCall {
    /// The same where tokens are revoked when nobody needs them any more.
    pub fn revoking(self, revocation: Option<Revocation>) -> Self {
        Self { revocation, ..self }
    }

    /// Whether its tokens are to be revoked.
    pub fn revokes(&self) -> bool {
        self.revocation.is_some()
    }

    /// Revokes one; `hint` says of which kind it is (RFC 7009 2.1).
    ///
    /// # Errors
    /// [`FetchError`] whose detail begins with the endpoint.
    pub(in crate::credentials) async fn revoke(
        &self,
        token: &Secret,
        hint: &str,
    ) -> Result<(), FetchError> {
        let endpoint = match (&self.revocation, &self.target) {
            (Some(Revocation::At(endpoint)), _) => Endpoint::clone(endpoint),
            (_, Target::Issuer(discovery)) => {
                let found = discovery.revocation().await;
                found.map_err(|error| error.at(self.shown()))?
            }
            _ => {
                let why = "where tokens are revoked is not known";
                return Err(FetchError::permanent(FailureKind::Internal, why));
            }
        };
        let revoked = self.revoke_at(&endpoint, token, hint).await;
        revoked.map_err(|error| error.at(endpoint.shown()))
    }

    async fn revoke_at(
        &self,
        endpoint: &Endpoint,
        token: &Secret,
        hint: &str,
    ) -> Result<(), FetchError> {
        let mut form = Form::default();
        form.add("token", token.expose());
        form.add("token_type_hint", hint);
        let mut headers = HeaderMap::new();
        // An assertion is for the server, and the token endpoint's URL is the name by which that knows itself.
        let authorization = self.auth.apply(&mut form, self.shown()).await?;
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let answer = endpoint.post(&[], headers, &form).await?;
        if answer.status == StatusCode::OK {
            return Ok(());
        }
        let said = format!("it answered {}", answer.status.as_u16());
        Err(token_response::refused(
            answer.status,
            &answer.headers,
            answer.wall,
            said,
        ))
    }
}
