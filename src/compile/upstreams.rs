//! `upstreams:` and the routes' own: what is dialled, and the path that requests get there.

use std::{collections::HashMap, path::Path, sync::Arc};

use http::HeaderValue;

use super::{
    credentials::{read_pem, read_secret},
    settings,
};
use crate::{
    config::{
        Decoder, Diagnostic, HttpUrl, Resolver, Sp, Span,
        raw::{self, HostHeaderSetting, RawFile, RawTimeouts, RawUpstream, UpstreamTls},
    },
    routes::{HostHeader, host::Authority, pattern::PathPattern},
    upstream::{
        self, ClientIdentity, Http2, PoolConfig, Scheme, TlsConfig, TlsError, Upstream,
        UpstreamConfig, UpstreamError, Upstreams,
    },
};

mod several;
mod way;

use way::Way;

/// An upstream that can be dialled, and what the file says besides.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    /// Where it is at several places; the first of them is `upstream`.
    pub(super) targets: Option<Arc<upstream::Targets>>,
    pub(super) url: Sp<HttpUrl>,
    /// Where connections go instead, where it is at several places.
    pub(super) places: Vec<HttpUrl>,
    pub(super) host_header: HostHeader,
    pub(super) timeouts: Option<Sp<RawTimeouts>>,
    pub(super) danger_plaintext: bool,
    /// Whether what is sent to it stays on this machine.
    pub(super) is_local: bool,
}

/// The named upstreams that are usable; the others have their diagnostics.
pub(super) struct Targets {
    pub(super) named: HashMap<String, Target>,
    pub(super) pool: PoolConfig,
}

pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    known: &Upstreams,
) -> Targets {
    let limits = settings::limits(file);
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let pool = PoolConfig {
        max_connections: count(limits.upstream_connections.value),
        max_waiting: count(limits.upstream_waiters.value),
        idle_timeout: limits.upstream_idle.value,
    };
    let mut named = HashMap::new();
    for (name, raw) in file.upstreams.iter().flat_map(|all| all.iter()) {
        if name.contains([':', '/']) {
            let error =
                Diagnostic::error(name.span, "this name can't be used: it looks like a URL");
            decoder.push(error.hint("names have letters, digits, `-`, `_` and `.`"));
        }
        if let Some(target) = target(raw, pool, decoder, resolver, known) {
            named.insert(name.value.clone(), target);
        }
    }
    Targets { named, pool }
}

/// One upstream; none where diagnostics say why not.
pub(super) fn target(
    raw: &Sp<RawUpstream>,
    pool: PoolConfig,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    known: &Upstreams,
) -> Option<Target> {
    let url = &raw.url;
    if url.query.is_some() {
        decoder.push(
            Diagnostic::error(url.span, "the URL of an upstream has no query")
                .hint("remove the `?` and what follows; the client's own query is sent on"),
        );
    }
    let host_header = host_header(raw, decoder);
    let way = way::compile(raw, decoder, resolver);
    let several = several::compile(raw, decoder);
    let tls = tls(raw, decoder, resolver)?;
    let (Way { socket, proxy }, several) = (way?, several?);
    let is_local = match &several {
        Some(several) => several.are_local,
        None => way::is_local(url, socket.as_deref(), proxy.as_ref()),
    };
    let config = UpstreamConfig {
        scheme: if url.https {
            Scheme::Https
        } else {
            Scheme::Http
        },
        host: url.host.clone(),
        port: url.port_or_default(),
        socket,
        target: None,
        health: several.as_ref().and_then(|it| it.health.clone()),
        proxy,
        tls,
        http2: match raw.http2.as_ref().map(|it| it.value) {
            None => Http2::AsNeeded,
            Some(raw::Http2::Auto) => Http2::Auto,
            Some(raw::Http2::PriorKnowledge) => Http2::PriorKnowledge,
        },
        pool,
    };
    let made = match &several {
        None => known.intern(config).map(|upstream| (upstream, None)),
        Some(several) => several.intern(&config, known),
    };
    match made {
        Ok((upstream, targets)) => Some(Target {
            upstream,
            targets,
            url: url.clone(),
            places: several.map_or_else(Vec::new, |several| several.places),
            host_header: host_header?,
            timeouts: raw.timeouts.clone(),
            danger_plaintext: raw.danger_plaintext.value,
            is_local,
        }),
        Err(error) => decoder.fail(place(&error, raw).unwrap_or(url.span), error.to_string()),
    }
}

fn tls(raw: &RawUpstream, decoder: &mut Decoder, resolver: &mut Resolver<'_>) -> Option<TlsConfig> {
    let Some(tls) = &raw.tls else {
        return Some(TlsConfig::default());
    };
    if !raw.url.https {
        let error = Diagnostic::error(tls.span, "`tls` means nothing for a URL with `http://`");
        decoder.push(error.hint("write `https://`, or remove `tls`"));
        return None;
    }
    if tls.danger_accept_invalid_certs.value {
        decoder.push(Diagnostic::warning(
            tls.danger_accept_invalid_certs.span,
            "whoever sits between here and this upstream can read the credentials sent to it",
        ));
    }
    let ca_pem = match &tls.ca {
        Some(path) => Some(read_pem(
            &Sp::new(Path::new(&path.value), path.span),
            decoder,
            resolver,
        )?),
        None => None,
    };
    let identity = identity(tls, decoder, resolver)?;
    if !tls.failed.is_empty() {
        return None;
    }
    Some(TlsConfig {
        ca_pem,
        identity,
        server_name: tls.server_name.as_ref().map(|name| name.value.clone()),
        danger_accept_invalid_certs: tls.danger_accept_invalid_certs.value,
    })
}

/// Our own certificate with its key; `None` where diagnostics say why there is none.
fn identity(
    tls: &UpstreamTls,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Option<ClientIdentity>> {
    let (path, key) = match (&tls.cert, &tls.key) {
        (None, None) => return Some(None),
        (Some(path), Some(key)) => (path, key),
        (Some(path), None) => {
            let error = Diagnostic::error(path.span, "this certificate has no `key`");
            decoder.push(error.hint("add `key: { file: client.key }`"));
            return None;
        }
        (None, Some(key)) => {
            let error = Diagnostic::error(key.span, "this key has no `cert`");
            decoder.push(error.hint("add `cert: client.pem`"));
            return None;
        }
    };
    let certificates = read_pem(
        &Sp::new(Path::new(&path.value), path.span),
        decoder,
        resolver,
    );
    let key = read_secret(key, decoder, resolver)?;
    let identity = ClientIdentity {
        certificates: certificates?,
        key,
    };
    // Where secrets are not read, there is nothing to come with.
    Some(resolver.reads_secrets().then_some(identity))
}

/// Where the setting stands that is at fault.
fn place(error: &UpstreamError, raw: &RawUpstream) -> Option<Span> {
    let tls = raw.tls.as_ref()?;
    let at = match error {
        UpstreamError::Tls(TlsError::Certificate | TlsError::Pair) => {
            tls.cert.as_ref().map(|it| it.span)
        }
        UpstreamError::Tls(TlsError::Key) => tls.key.as_ref().map(|it| it.span),
        _ => None,
    };
    Some(at.unwrap_or(tls.span))
}

fn host_header(raw: &RawUpstream, decoder: &mut Decoder) -> Option<HostHeader> {
    match &raw.host_header.value {
        HostHeaderSetting::Upstream => Some(HostHeader::Upstream),
        HostHeaderSetting::Client => Some(HostHeader::Client),
        HostHeaderSetting::Fixed(host) => {
            let value = Authority::parse(host.as_bytes())
                .ok()
                .and_then(|host| HeaderValue::try_from(host.to_string()).ok());
            match value {
                Some(value) => Some(HostHeader::Fixed(value)),
                None => {
                    let error = Diagnostic::error(raw.host_header.span, "this is no host");
                    decoder.push(
                        error.hint(
                            "write `upstream`, `client`, or a host such as `api.example.com`",
                        ),
                    );
                    None
                }
            }
        }
    }
}

/// The base path for a route, and whether it replaces what was matched.
///
/// A base path below which something goes gets its slash where it lacks one: `/v2` and `/v2/` mean the same there. An exact
/// path is replaced as a whole, but kept where the URL has no path at all.
pub(super) fn base_path(url: &HttpUrl, path: &PathPattern, strip_prefix: bool) -> (Box<str>, bool) {
    let below = || match url.path.ends_with('/') {
        true => url.path.as_str().into(),
        false => format!("{}/", url.path).into(),
    };
    match path {
        PathPattern::Exact(_) if strip_prefix && url.bare => ("/".into(), false),
        PathPattern::Exact(_) if strip_prefix => (url.path.as_str().into(), true),
        _ => (below(), strip_prefix),
    }
}
