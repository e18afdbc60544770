//! What lies between here and an upstream: a unix socket, a proxy, or nothing.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::super::credentials::read_secret;
use crate::{
    config::{
        Decoder, Diagnostic, HttpUrl, Resolver, Sp,
        raw::{RawProxy, RawUpstream},
    },
    routes::is_loopback,
    secret::Secret,
    upstream::ProxyConfig,
};

/// How an upstream is reached.
pub(super) struct Way {
    pub(super) socket: Option<PathBuf>,
    pub(super) proxy: Option<ProxyConfig>,
}

/// None where diagnostics say why not.
pub(super) fn compile(
    raw: &RawUpstream,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Way> {
    if let (Some(socket), Some(proxy)) = (&raw.socket, &raw.proxy) {
        let error = Diagnostic::error(proxy.span, "no proxy leads to a unix socket");
        let error = error.related(socket.span, "the socket");
        decoder.push(error.hint("remove `proxy` or `socket`"));
        return None;
    }
    let proxy = match &raw.proxy {
        None => None,
        Some(proxy) => Some(self::proxy(proxy, decoder, resolver)?),
    };
    let socket = raw.socket.as_ref();
    Some(Way {
        socket: socket.map(|path| resolver.beside(path)),
        proxy,
    })
}

fn proxy(
    raw: &Sp<RawProxy>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<ProxyConfig> {
    let url = &raw.url;
    if url.https || url.path != "/" || url.query.is_some() {
        let error = Diagnostic::error(
            url.span,
            "a proxy has a host and a port, and is spoken to in clear",
        );
        decoder.push(error.hint("write `http://proxy.example.com:3128`; what goes to an `https://` upstream is encrypted all the way"));
        return None;
    }
    let authorization = match (&raw.username, &raw.password) {
        (None, None) => None,
        (Some(username), Some(password)) if !username.contains(':') => {
            let password = read_secret(password, decoder, resolver)?;
            Some(basic(username, &password))
        }
        (Some(username), Some(_)) => {
            // What stands behind it may be the password.
            decoder.marks.hide(username.span);
            decoder.push(Diagnostic::error(username.span, "a user name has no `:`"));
            return None;
        }
        (Some(given), None) => {
            let error = Diagnostic::error(given.span, "this user name has no `password`");
            decoder.push(error.hint("add `password: { env: PROXY_PASSWORD }`"));
            return None;
        }
        (None, Some(given)) => {
            let error = Diagnostic::error(given.span, "this password has no `username`");
            decoder.push(error.hint("add `username`"));
            return None;
        }
    };
    Some(ProxyConfig {
        host: url.host.clone(),
        port: url.port_or_default(),
        authorization,
    })
}

/// RFC 7617.
fn basic(username: &str, password: &Secret) -> Secret {
    let both = Zeroizing::new(format!("{username}:{}", password.expose()));
    let encoded = Zeroizing::new(STANDARD.encode(both.as_bytes()));
    Secret::new(format!("Basic {}", encoded.as_str()))
}

/// Whether what is sent in clear stays on this machine.
pub(super) fn is_local(url: &HttpUrl, socket: Option<&Path>, proxy: Option<&ProxyConfig>) -> bool {
    let proxied_away = proxy.is_some_and(|proxy| {
        let ip = proxy.host.parse();
        !(proxy.host == "localhost" || ip.is_ok_and(is_loopback))
    });
    socket.is_some() || (url.is_loopback() && !proxied_away)
}
