//! Which token endpoints a credential could be abused at.

use std::collections::{HashMap, HashSet};

use super::{credentials::Sources, upstreams::Target};
use crate::{
    config::HttpUrl,
    routes::{HostHeader, LoginPath, host::Authority},
};

/// The token endpoints of every credential, of those that it builds on, and of those that build on it: at the
/// last ones it is what a token is bought with.
pub(super) struct Endpoints<'s> {
    by_name: HashMap<&'s str, Vec<HttpUrl>>,
}

impl<'s> Endpoints<'s> {
    pub(super) fn of(sources: &'s Sources) -> Self {
        let mut by_name: HashMap<&str, Vec<HttpUrl>> = HashMap::new();
        for name in sources.names() {
            for below in chain(name, sources) {
                by_name
                    .entry(name)
                    .or_default()
                    .extend(own(&below, sources));
                if below != name
                    && let Some((below, _)) = sources.entry(&below)
                {
                    by_name.entry(below).or_default().extend(own(name, sources));
                }
            }
        }
        Self { by_name }
    }

    /// Those of `credential` that lie at the authority of `target`.
    pub(super) fn at(&self, credential: &str, target: &Target) -> Vec<LoginPath> {
        let endpoints = self.by_name.get(credential).into_iter().flatten();
        endpoints
            .filter(|endpoint| is_at(endpoint, target))
            .map(|endpoint| LoginPath::whole(&endpoint.path))
            .collect()
    }
}

/// `name`, and every credential that it builds on.
fn chain(name: &str, sources: &Sources) -> HashSet<String> {
    let mut open = vec![name.to_owned()];
    let mut names = HashSet::new();
    while let Some(name) = open.pop() {
        let links = sources.get(&name).map(|built| built.source.links());
        open.extend(
            links
                .into_iter()
                .flatten()
                .map(|linked| linked.name().to_string()),
        );
        names.insert(name);
    }
    names
}

fn own(name: &str, sources: &Sources) -> Vec<HttpUrl> {
    let endpoints = sources.get(name).map(|built| built.source.endpoints());
    endpoints
        .into_iter()
        .flatten()
        .filter_map(|url| HttpUrl::parse(url).ok())
        .collect()
}

/// Whether a request to `target` may be answered by the server of `endpoint`: by the URL or by the Host that it gets.
fn is_at(endpoint: &HttpUrl, target: &Target) -> bool {
    let by_host = match &target.host_header {
        HostHeader::Upstream => false,
        // Whatever the client says.
        HostHeader::Client => true,
        HostHeader::Fixed(host) => Authority::parse(host.as_bytes()).is_ok_and(|host| {
            Some(host.host()) == canonical(endpoint).as_ref().map(Authority::host)
        }),
    };
    by_host || same_server(endpoint, &target.url)
}

/// A vendor's `http` and `https` are one server, where neither says a port; so are all names of this machine.
fn same_server(one: &HttpUrl, other: &HttpUrl) -> bool {
    let port = |url: &HttpUrl| Some(url.port_or_default()).filter(|port| !matches!(port, 80 | 443));
    let host = |url: &HttpUrl| canonical(url).map(|it| it.host().to_owned());
    port(one) == port(other)
        && (host(one) == host(other) || one.is_loopback() && other.is_loopback())
}

fn canonical(url: &HttpUrl) -> Option<Authority<'static>> {
    let text = url.authority();
    let authority = Authority::parse(text.as_bytes()).ok()?;
    Some(authority.into_owned())
}
