//! Which Host names are answered: those of `hosts:` and of the routes.

use super::routes::Draft;
use crate::{
    config::{Decoder, Diagnostic, raw::RawFile},
    routes::{Hosts, host::HostPattern},
};

pub(super) fn compile(file: &RawFile, drafts: &[Draft<'_>], decoder: &mut Decoder) -> Hosts {
    let mut names = Vec::new();
    for host in file.hosts.iter().flat_map(|hosts| hosts.iter()) {
        match HostPattern::parse(host) {
            Ok(HostPattern::Any) => {
                let error =
                    Diagnostic::error(host.span, "`*` would let any web page's host name in");
                decoder.push(
                    error.hint("name the hosts, as in `proxy.example.com` or `*.example.com`"),
                );
            }
            Ok(pattern) => names.push(pattern.to_string()),
            Err(error) => {
                decoder.push(Diagnostic::error(host.span, error.to_string()).hint(
                    "write a host without a port, as in `proxy.example.com` or `*.example.com`",
                ))
            }
        }
    }
    let of_routes = drafts.iter().map(|draft| &draft.matcher.host);
    names.extend(
        of_routes
            .filter(|host| **host != HostPattern::Any)
            .map(ToString::to_string),
    );
    let callers = file
        .callers
        .as_ref()
        .is_some_and(|callers| !callers.0.is_empty());
    Hosts::new(names, file.danger_allow_anyone.value, callers)
}
