//! `revoke_on_exit:` whether tokens are revoked when nobody needs them any more, and where.

use super::{BuildContext, OauthKeys};
use crate::{config::Diagnostic, credentials::Revocation};

impl OauthKeys {
    /// Where tokens are revoked; `Some(None)` where they are not, `None` after reporting what is wrong.
    pub(super) fn revocation(&self, cx: &mut dyn BuildContext) -> Option<Option<Revocation>> {
        let (revokes, url) = (&self.revoke_on_exit, &self.revocation_url);
        match url {
            Some(url) => {
                let endpoint = self.endpoint(url, cx)?;
                if !revokes.value {
                    let warning = "nothing is revoked without `revoke_on_exit: true`";
                    cx.report(Diagnostic::warning(url.span, warning));
                }
                Some(revokes.value.then(|| Revocation::At(Box::new(endpoint))))
            }
            None if revokes.value && self.issuer.is_none() => {
                let error = "where tokens are revoked is not known";
                cx.report(
                    Diagnostic::error(revokes.span, error)
                        .hint("give `revocation_url`, or `issuer` instead of `token_url`"),
                );
                None
            }
            None => Some(revokes.value.then_some(Revocation::ByIssuer)),
        }
    }
}
