//! `listen:` where clients connect; TLS is made ready here, so that what is unusable there is an error of the file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;

use super::credentials::{read_pem, read_secret};
use crate::{
    config::{
        Decoder, Diagnostic, Resolver, SecretSource, Sp, Span,
        raw::{ListenAddress, ListenerTls, RawFile, RawListener, TlsVersion},
    },
    downstream::{
        Certificate, Inherited, InheritedAddress, InheritedSocket, ServerTls, ServerTlsError,
        TlsServers, TlsSettings, Versions,
    },
    routes::is_loopback,
};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: ListenAddress,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// Permissions of a unix socket.
    pub mode: u32,
    /// From where the PROXY protocol is spoken.
    pub proxies: Arc<[IpNet]>,
}

/// The listeners as they are bound at the start.
pub(super) fn listeners(file: &RawFile) -> Vec<Listener> {
    let listener = |raw: &Sp<RawListener>| Listener {
        address: raw.address.value.clone(),
        tls: raw.tls.is_some(),
        proxies: proxies(raw),
        mode: raw.mode.as_ref().map_or(OWNER_ALONE, |mode| mode.0),
    };
    file.listen.iter().map(listener).collect()
}

fn proxies(raw: &RawListener) -> Arc<[IpNet]> {
    let from = raw.proxy_protocol.iter().flat_map(|it| it.from.iter());
    from.map(|network| network.0).collect()
}

/// Whether only programs of this machine reach it. What systemd will pass is not known where a file is only looked at.
pub(super) fn is_local(address: &ListenAddress, inherited: Option<&Inherited>) -> bool {
    match address {
        ListenAddress::Tcp(address) => is_loopback(address.ip()),
        ListenAddress::Unix(_) => true,
        ListenAddress::Systemd(name) => inherited.is_none_or(|inherited| {
            let mut sockets = inherited.named(name).map(InheritedSocket::address);
            sockets.all(|address| match address {
                InheritedAddress::Tcp(address) => is_loopback(address.ip()),
                InheritedAddress::Unix(_) => true,
            })
        }),
    }
}

/// What a unix socket does not have, and what only it has.
pub(super) fn check(raw: &RawListener, decoder: &mut Decoder, inherited: Option<&Inherited>) {
    let is_unix = match (&raw.address.value, inherited) {
        (ListenAddress::Unix(_), _) => true,
        (ListenAddress::Systemd(name), Some(inherited)) => {
            check_passed(name, raw.address.span, decoder, inherited);
            let mut sockets = inherited.named(name).map(InheritedSocket::address);
            sockets.any(|address| matches!(address, InheritedAddress::Unix(_)))
        }
        _ => false,
    };
    if let (true, Some(proxied)) = (is_unix, &raw.proxy_protocol) {
        let error = Diagnostic::error(proxied.span, "a unix socket has no PROXY protocol");
        decoder.push(error.hint("remove `proxy_protocol`, or have the balancer connect by TCP"));
    }
    if let (true, Some(tls)) = (is_unix, &raw.tls) {
        decoder.push(
            Diagnostic::error(tls.span, "a unix socket has no TLS")
                .hint("the kernel vouches for who connects: remove `tls`, use `unix_peer`"),
        );
    }
    if let Some(mode) = &raw.mode {
        match raw.address.value {
            ListenAddress::Unix(_) => {}
            ListenAddress::Tcp(_) => {
                let error = Diagnostic::error(mode.span, "only a unix socket has permissions");
                decoder.push(error.hint("remove `mode`"));
            }
            ListenAddress::Systemd(_) => {
                let error = Diagnostic::error(mode.span, "systemd has made this socket already");
                decoder.push(error.hint("remove `mode`; the socket's unit says `SocketMode=`"));
            }
        }
    }
}

fn check_passed(name: &str, span: Span, decoder: &mut Decoder, inherited: &Inherited) {
    if inherited.named(name).next().is_some() {
        return;
    }
    let error = Diagnostic::error(span, "systemd passes no socket of this name");
    let names = inherited.names();
    decoder.push(error.hint(if names.is_empty() {
        "it passes none: start the socket's unit, which then starts this service".to_owned()
    } else {
        format!("it passes `{}`", names.join("`, `"))
    }));
}

/// The TLS of each listener that speaks it; none of the others.
pub(super) fn tls(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    servers: &TlsServers,
) -> Vec<Option<ServerTls>> {
    let listeners = file.listen.iter();
    listeners
        .map(|listener| tls_of(listener.tls.as_ref()?, decoder, resolver, servers))
        .collect()
}

fn tls_of(
    raw: &Sp<ListenerTls>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    servers: &TlsServers,
) -> Option<ServerTls> {
    if raw.client_required.value && raw.client_ca.is_none() {
        decoder.push(
            Diagnostic::error(
                raw.client_required.span,
                "clients are to show certificates, and none is believed",
            )
            .hint("add `client_ca: authorities.pem`"),
        );
    }
    let first = Some((&raw.cert, &raw.key));
    let more = raw.certificates.iter().flat_map(|more| &more.value);
    let files: Vec<_> = first
        .into_iter()
        .chain(more.map(|one| (&one.cert, &one.key)))
        .collect();
    let certificates: Vec<_> = files
        .iter()
        .map(|(cert, key)| certificate(cert, key, decoder, resolver))
        .collect();
    let client_ca = match &raw.client_ca {
        None => None,
        Some(path) => Some(read(path, decoder, resolver)?),
    };
    if !raw.failed.is_empty() || !resolver.reads_secrets() {
        return None;
    }
    let settings = TlsSettings {
        certificates: certificates.into_iter().collect::<Option<_>>()?,
        client_ca,
        client_required: raw.client_required.value,
        versions: match raw.min_version.value {
            TlsVersion::Tls12 => Versions::From12,
            TlsVersion::Tls13 => Versions::From13,
        },
    };
    match servers.intern(&settings) {
        Ok(tls) => Some(tls),
        Err(error) => decoder.fail(place(&error, raw, &files), error.to_string()),
    }
}

fn certificate(
    cert: &Sp<PathBuf>,
    key: &Sp<SecretSource>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Certificate> {
    let chain = read(cert, decoder, resolver);
    let key = read_secret(key, decoder, resolver)?;
    Some(Certificate { chain: chain?, key })
}

fn read(path: &Sp<PathBuf>, decoder: &mut Decoder, resolver: &mut Resolver<'_>) -> Option<Vec<u8>> {
    let path = Sp::new(Path::new(&path.value), path.span);
    read_pem(&path, decoder, resolver)
}

/// Where the setting stands that is at fault.
fn place(
    error: &ServerTlsError,
    raw: &Sp<ListenerTls>,
    files: &[(&Sp<PathBuf>, &Sp<SecretSource>)],
) -> Span {
    let file = |number: usize| files.get(number);
    let span = match error {
        ServerTlsError::Certificate(number) | ServerTlsError::Pair(number) => {
            file(*number).map(|(cert, _)| cert.span)
        }
        ServerTlsError::Key(number) => file(*number).map(|(_, key)| key.span),
        ServerTlsError::ClientCa => raw.client_ca.as_ref().map(|path| path.span),
        ServerTlsError::Setup(_) => None,
    };
    span.unwrap_or(raw.span)
}

/// The permissions of a unix socket unless the file says otherwise.
const OWNER_ALONE: u32 = 0o600;
