//! Callers that are known by their connection: by its certificate, or by whom they run as.

use std::sync::Arc;

use crate::{
    callers::{CertificateCaller, Holds, UnixCaller},
    config::{
        Decoder, Diagnostic, Sp,
        raw::{ListenAddress, RawCaller, RawClientCertificate, RawFile, RawListener, RawUnixPeer},
    },
};

/// A caller with a certificate; `None` where diagnostics say why there is none.
pub(super) fn by_certificate(
    name: &Sp<String>,
    caller: &RawCaller,
    raw: &Sp<RawClientCertificate>,
    file: &RawFile,
    decoder: &mut Decoder,
) -> Option<CertificateCaller> {
    let asks = |listener: &Sp<RawListener>| {
        let tls = listener.tls.as_ref();
        tls.is_some_and(|tls| tls.client_ca.is_some())
    };
    if !file.listen.iter().any(asks) && !file.failed.contains(&"listen") {
        let error = Diagnostic::error(raw.span, "no listener asks for certificates");
        decoder.push(error.hint("add `tls: { cert, key, client_ca: authorities.pem }` to one"));
    }
    Some(CertificateCaller {
        name: Arc::from(name.as_str()),
        holds: holds(raw, decoder)?,
        may_name_users: caller.may_name_users.value,
    })
}

/// A caller that runs as somebody; `None` where diagnostics say why there is none.
pub(super) fn by_user(
    name: &Sp<String>,
    caller: &RawCaller,
    raw: &Sp<RawUnixPeer>,
    file: &RawFile,
    decoder: &mut Decoder,
) -> Option<UnixCaller> {
    // What systemd passes may be one.
    let may_be_unix =
        |listener: &Sp<RawListener>| !matches!(listener.address.value, ListenAddress::Tcp(_));
    if !file.listen.iter().any(may_be_unix) && !file.failed.contains(&"listen") {
        let error = Diagnostic::error(raw.span, "no listener is a unix socket");
        decoder.push(error.hint("add one, as in `listen: unix:/run/bearerd.sock`"));
    }
    if raw.uid.is_none() && raw.gid.is_none() {
        if raw.failed.is_empty() {
            let error = Diagnostic::error(raw.span, "a unix peer needs `uid`, `gid` or both");
            decoder.push(error.hint("`id -u NAME` and `id -g NAME` tell them"));
        }
        return None;
    }
    let mut number = |given: &Option<Sp<u64>>| match given {
        None => Some(None),
        Some(given) => match u32::try_from(given.value) {
            Ok(number) => Some(Some(number)),
            Err(_) => decoder.fail(given.span, "this is no number of a user or group"),
        },
    };
    Some(UnixCaller {
        name: Arc::from(name.as_str()),
        uid: number(&raw.uid)?,
        gid: number(&raw.gid)?,
        may_name_users: caller.may_name_users.value,
    })
}

fn holds(raw: &Sp<RawClientCertificate>, decoder: &mut Decoder) -> Option<Holds> {
    if !raw.failed.is_empty() {
        return None;
    }
    match (&raw.san, &raw.spiffe, &raw.subject) {
        (Some(san), None, None) if san.contains(':') => Some(Holds::San(san.as_str().into())),
        (Some(san), None, None) => Some(Holds::San(san.to_ascii_lowercase().into())),
        (None, Some(id), None) => {
            if !id.starts_with("spiffe://") {
                let error = Diagnostic::error(id.span, "this is no SPIFFE id");
                decoder.push(error.hint("write it whole, as in `spiffe://example.org/billing`"));
                return None;
            }
            Some(match id.strip_suffix('*') {
                Some(parent) if parent.ends_with('/') => Holds::SpiffeBelow(parent.into()),
                _ => Holds::Spiffe(id.as_str().into()),
            })
        }
        (None, None, Some(subject)) => Some(Holds::Subject(subject.as_str().into())),
        _ => {
            let message = "a client certificate needs exactly one of `san`, `spiffe` and `subject`";
            decoder.fail(raw.span, message)
        }
    }
}
