//! Whose credential it is: the proxy's own, a user's by name, or that of whoever a token of the request tells of.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use http::HeaderName;

use super::Fingerprint;
use crate::{clock::Instant, secret::Secret};

/// Whose credential it is.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The proxy's own, shared by all requests of the route.
    #[default]
    Own,
    /// A user's, by the name that the credential's vendor knows; made by [`Subject::user`].
    User(Arc<str>),
    /// Of whoever these tokens tell of; made by [`Subject::tokens`].
    Tokens(Arc<SubjectTokens>),
}

/// Tokens that tell of somebody: the same ones are the same subject, whatever is known of their end.
pub struct SubjectTokens {
    /// Who it is for.
    pub subject: SubjectToken,
    /// Who acts for them.
    pub actor: Option<SubjectToken>,
    /// A strong hash of both, so that no two can share one, and nothing is compared byte by byte.
    key: Fingerprint,
}

/// A token that tells of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectToken {
    /// The token itself.
    pub token: Secret,
    /// When it ends, where that is known: nothing that is made of it outlives it.
    pub expires: Option<Instant>,
}

/// The headers of a request whose tokens a source exchanges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensFrom {
    /// Where the subject token stands.
    pub subject: HeaderName,
    /// Where the actor token stands, if it comes from the request as well.
    pub actor: Option<HeaderName>,
    /// Takes tokens that no caller's issuer is known for, unverified (`danger_unverified_subject`).
    pub danger_unverified: bool,
}

/// What can't be a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// No text at all: an identity that everybody without one would share.
    #[error("the subject is empty")]
    Empty,
    /// Longer than any name or token.
    #[error("the subject is too long")]
    TooLong,
    /// Names are shown to people and put in headers.
    #[error("the subject has control characters")]
    Control,
}

impl Subject {
    /// The user of this name.
    ///
    /// # Errors
    /// [`SubjectError`] where it is empty, longer than 1 KiB or has control characters.
    pub fn user(name: impl Into<Arc<str>>) -> Result<Self, SubjectError> {
        let name = name.into();
        if name.trim().is_empty() {
            return Err(SubjectError::Empty);
        }
        if name.len() > LONGEST_NAME {
            return Err(SubjectError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(SubjectError::Control);
        }
        Ok(Self::User(name))
    }

    /// Whoever these tokens tell of.
    ///
    /// # Errors
    /// [`SubjectError`] where a token is empty or longer than 16 KiB.
    pub fn tokens(
        subject: SubjectToken,
        actor: Option<SubjectToken>,
    ) -> Result<Self, SubjectError> {
        for token in actor.iter().chain([&subject]) {
            match token.token.expose().len() {
                0 => return Err(SubjectError::Empty),
                1..=LONGEST_TOKEN => {}
                _ => return Err(SubjectError::TooLong),
            }
        }
        Ok(Self::Tokens(Arc::new(SubjectTokens {
            key: key_of(&subject.token, actor.as_ref().map(|actor| &actor.token)),
            subject,
            actor,
        })))
    }

    /// When the first of its tokens ends, where that is known.
    pub fn expires(&self) -> Option<Instant> {
        let Self::Tokens(tokens) = self else {
            return None;
        };
        let actor = tokens.actor.as_ref().and_then(|actor| actor.expires);
        tokens.subject.expires.into_iter().chain(actor).min()
    }

    /// Identifies it among all of one credential, also where records of it are kept: kind and parts.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Own => Fingerprint::of(&[b"own"]),
            Self::User(name) => Fingerprint::of(&[b"user", name.as_bytes()]),
            Self::Tokens(tokens) => tokens.key,
        }
    }
}

/// What tells one's tokens from all others'.
fn key_of(subject: &Secret, actor: Option<&Secret>) -> Fingerprint {
    let subject = subject.expose().as_bytes();
    match actor.map(|actor| actor.expose().as_bytes()) {
        None => Fingerprint::of(&[b"tokens", subject, &0_u64.to_be_bytes()]),
        Some(actor) => Fingerprint::of(&[b"tokens", subject, &1_u64.to_be_bytes(), actor]),
    }
}

impl PartialEq for SubjectTokens {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for SubjectTokens {}

impl Hash for SubjectTokens {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Names of users are personal data: no log needs them.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "Own",
            Self::User(_) => "User(****)",
            Self::Tokens(_) => "Tokens(****)",
        })
    }
}

const LONGEST_NAME: usize = 1024;
const LONGEST_TOKEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(subject: &str, actor: Option<&str>) -> Fingerprint {
        let token = |text: &str| SubjectToken {
            token: Secret::new(text),
            expires: None,
        };
        let tokens = Subject::tokens(token(subject), actor.map(token));
        tokens.unwrap().fingerprint()
    }

    fn user(name: &str) -> Fingerprint {
        Subject::user(name).unwrap().fingerprint()
    }

    #[test]
    fn moving_a_border_makes_another_key() {
        assert_ne!(tokens("ab", Some("c")), tokens("a", Some("bc")));
        assert_ne!(tokens("abc", None), tokens("ab", Some("c")));
        assert_eq!(tokens("ab", Some("c")), tokens("ab", Some("c")));
    }

    #[test]
    fn the_same_token_with_another_end_is_the_same_subject() {
        let ending = |expires| {
            let token = Secret::new("token");
            Subject::tokens(SubjectToken { token, expires }, None).unwrap()
        };
        assert!(ending(None) == ending(Some(crate::clock::now())));
    }

    #[test]
    fn two_actors_for_one_subject_share_nothing() {
        assert_ne!(tokens("a", Some("b")), tokens("a", Some("c")));
        assert_ne!(tokens("a", Some("b")), tokens("a", None));
    }

    #[test]
    fn kinds_do_not_share_keys() {
        assert_ne!(user("a"), tokens("a", None));
        assert_ne!(user("own"), Subject::Own.fingerprint());
        assert_ne!(user("a"), user("A"));
        assert_eq!(user("a"), user("a"));
    }

    #[test]
    fn what_everybody_could_share_is_no_subject() {
        assert_eq!(Subject::user(""), Err(SubjectError::Empty));
        assert_eq!(Subject::user(" "), Err(SubjectError::Empty));
        assert_eq!(Subject::user("a\nb"), Err(SubjectError::Control));
        assert!(Subject::user("x".repeat(1024)).is_ok());
        assert_eq!(Subject::user("x".repeat(1025)), Err(SubjectError::TooLong));
        let token = |length| SubjectToken {
            token: Secret::new("x".repeat(length)),
            expires: None,
        };
        assert!(Subject::tokens(token(0), None).is_err());
        assert!(Subject::tokens(token(1), Some(token(0))).is_err());
        assert!(Subject::tokens(token(16 * 1024), None).is_ok());
        assert!(Subject::tokens(token(16 * 1024 + 1), None).is_err());
    }

    #[test]
    fn debug_shows_nobody() {
        let user = Subject::user("kanarie").unwrap();
        assert!(!format!("{user:?}").contains("kanarie"));
    }
}
