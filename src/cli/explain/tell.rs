//! Says in lines what happens to a request, from its route to the bytes on the wire.

use std::{
    fmt::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use http::{HeaderName, HeaderValue, header};

use crate::{
    callers::{self, Caller, Shown},
    credentials::DPOP,
    injectors::{Injector, Place, Rendered},
    layers::{self, Connection, Error, Head},
    percent,
    routes::{
        Allow, OnFailure, Route, Snapshot, SubjectFrom,
        pattern::Matcher,
        table::{Found, RequestView},
        trace::{self, Verdict},
    },
};

/// Writes what happens, stage by stage, up to the error that ends it. Whether the request is sent on.
pub(super) fn request(text: &mut String, snapshot: &Snapshot, head: Head) -> Result<bool, Error> {
    let caller = snapshot
        .callers
        .authenticate(&head.headers, Shown::default());
    let view = RequestView {
        host: head.authority.as_ref().map(|it| it.host()),
        path: head.target.path(),
        query: head.target.query(),
        method: &head.method,
        headers: &head.headers,
    };
    routes(text, snapshot, &view);
    let (route, prefix) = match snapshot.table.find(&view) {
        Found::Match {
            value, prefix_len, ..
        } => (Arc::clone(value), prefix_len),
        Found::NotFound => return Err(Error::RouteNotFound),
        Found::Refused(refused) => return Err(Error::PathRefused(refused.to_string())),
    };
    match &caller {
        callers::Verdict::Known(Caller::Anonymous) => {}
        callers::Verdict::Known(Caller::Known(identity)) => line(text, "caller", &identity.name),
        // Not an answer: keys that the file does not hold are not read here.
        callers::Verdict::Unknown(_) | callers::Verdict::Later(_) => line(
            text,
            "caller",
            "none whose key is known here; a running proxy answers 401 without one",
        ),
    }
    if let callers::Verdict::Known(caller) = &caller
        && !route.allow.permits(caller)
    {
        return Err(Error::CallerDenied);
    }
    if let Allow::Only(names) = &route.allow {
        line(text, "allows", listed(names));
    }
    if layers::check_login(&route, &head, prefix)?.is_some() {
        line(
            text,
            "answers",
            "the login itself, with a placeholder (`emulate`)",
        );
        return Ok(false);
    }
    credential(text, &route);
    subject(text, &route);
    sent(text, &route, prefix, head)?;
    Ok(true)
}

fn subject(text: &mut String, route: &Route) {
    let of = route.credential.as_ref().and_then(|it| it.subject.as_ref());
    let whose = match of {
        None => return,
        Some(SubjectFrom::Caller) => "the caller's".to_owned(),
        Some(SubjectFrom::Claim(name)) => {
            format!("of whom the claim `{name}` of the caller's token names")
        }
        Some(SubjectFrom::Header(name)) => format!("of whom the header `{name}` names"),
        Some(SubjectFrom::Tokens { from, .. }) => {
            format!("of whom the token in `{}` tells of", from.subject)
        }
    };
    line(text, "whose", whose);
}

/// Warns that the listener would answer 421 to the Host.
pub(super) fn unknown_host(text: &mut String, listener: &Connection) {
    let note = format!(
        "{} answers 421 to this host unless `hosts:` names it",
        listener.own_host()
    );
    line(text, "host", note);
}

fn routes(text: &mut String, snapshot: &Snapshot, view: &RequestView<'_>) {
    let known = snapshot.table.values();
    let matchers = snapshot.table.matchers();
    let label = |index: usize| {
        let Route { name, line, .. } = &*known[index];
        format!("{name} (line {line}: {})", place(&matchers[index]))
    };
    let mut elsewhere = 0;
    for considered in snapshot.table.trace(view) {
        let index = considered.index;
        let why = match considered.verdict {
            Verdict::Chosen => {
                line(text, "route", label(index));
                continue;
            }
            Verdict::Path if is_below(&matchers[index], view) => {
                "it is for what is below, write the path with its last `/`".to_owned()
            }
            Verdict::Host | Verdict::Path => {
                elsewhere += 1;
                continue;
            }
            Verdict::Method => format!("it is for {}", listed(&matchers[index].methods)),
            Verdict::Header(name) => format!("header `{name}` is not there or not as it asks"),
            Verdict::Query(name) => {
                format!("query parameter `{name}` is not there or not as it asks")
            }
            Verdict::ShadowedBy(first) => {
                let reason = trace::reason(&matchers[first], &matchers[index]);
                line(
                    text,
                    "shadowed",
                    format!("{} by {}: {reason}", label(index), known[first].name),
                );
                continue;
            }
        };
        line(text, "not taken", format!("{}: {why}", label(index)));
    }
    if elsewhere > 0 {
        line(
            text,
            "others",
            format!("{elsewhere} for other hosts or paths"),
        );
    }
}

fn is_below(matcher: &Matcher, view: &RequestView<'_>) -> bool {
    matcher.host.matches(view.host) && matcher.path.to_string().strip_suffix('/') == Some(view.path)
}

fn place(matcher: &Matcher) -> String {
    match matcher.host.to_string().as_str() {
        "*" => matcher.path.to_string(),
        host => format!("{host}{}", matcher.path),
    }
}

fn credential(text: &mut String, route: &Route) {
    let Some(used) = &route.credential else {
        line(text, "credential", "none");
        return;
    };
    let injectors = used.injection.injectors();
    let places: Vec<_> = injectors
        .iter()
        .map(|injector| injector.place().to_string())
        .collect();
    line(
        text,
        "credential",
        format!("{} in {}", used.handle.name(), places.join(", ")),
    );
    if let Some(key) = used.handle.source().proof_key() {
        let key = match key.is_generated() {
            true => "a key that the proxy makes at start",
            false => "the key of the file, whose thumbprint `bearerd doctor` tells",
        };
        let name = "bound by DPoP: each request carries a proof of";
        line(text, "", format!("{name} {key}"));
    }
    if !used.overwrite {
        line(text, "", "a client's own header is kept instead");
    }
    if used.on_failure == OnFailure::Pass {
        line(text, "", "sent without, where there is none to be had");
    }
}

fn sent(text: &mut String, route: &Route, prefix: usize, head: Head) -> Result<(), Error> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let connection = Connection::new(nowhere, nowhere);
    let came = head.headers.clone();
    let out = layers::preview(head, route, prefix, &connection, stand_in(route))?;
    let origin = route.upstream.origin();
    line(
        text,
        "sends",
        format!("{} {origin}{}", out.method, out.target),
    );
    let mut names: Vec<&HeaderName> = out.headers.keys().collect();
    names.sort_by_key(|name| name.as_str());
    for name in names {
        for value in out.headers.get_all(name) {
            let held = [
                header::AUTHORIZATION,
                header::COOKIE,
                header::PROXY_AUTHORIZATION,
            ]
            .contains(name);
            let value = if held && !value.is_sensitive() {
                MASK.to_owned()
            } else {
                shown(value)
            };
            line(text, "", format!("{name}: {value}"));
        }
    }
    let removed: Vec<_> = came
        .keys()
        .filter(|name| !out.headers.contains_key(*name))
        .collect();
    if !removed.is_empty() {
        line(text, "takes out", listed(&removed));
    }
    Ok(())
}

/// What the credential would put in, without its values: not even a template's own words, which may be secret.
fn stand_in(route: &Route) -> Option<Arc<Rendered>> {
    let credential = route.credential.as_ref()?;
    let mut rendered = Rendered {
        headers: Vec::new(),
        query: String::new(),
        cookies: String::new(),
    };
    let join = |into: &mut String, name: &str, separator: &str| {
        if !into.is_empty() {
            into.push_str(separator);
        }
        percent::encode(name, into);
        into.push('=');
        into.push_str(MASK);
    };
    for injector in credential.injection.injectors() {
        match injector.place() {
            Place::Header(name) => {
                let mut value = HeaderValue::from_static(masked(injector));
                value.set_sensitive(true);
                rendered.headers.push((name.clone(), value));
            }
            Place::Query(name) => join(&mut rendered.query, name, "&"),
            Place::Cookie(name) => join(&mut rendered.cookies, name, "; "),
        }
    }
    if credential.nonce.is_some() {
        let mut proof = HeaderValue::from_static(MASK);
        proof.set_sensitive(true);
        rendered.headers.push((DPOP, proof));
    }
    Some(Arc::new(rendered))
}

fn masked(injector: &Injector) -> &'static str {
    match injector.template().split_once(' ') {
        Some(("Bearer", _)) => "Bearer ****",
        Some(("Basic", _)) => "Basic ****",
        Some(("DPoP", _)) => "DPoP ****",
        _ => MASK,
    }
}

pub(super) fn answer(text: &mut String, error: &Error) {
    let appearance = error.appearance();
    let (status, code) = (appearance.status.as_u16(), appearance.code);
    line(text, "answers", format!("{status} {code}: {error}"));
}

fn line(text: &mut String, label: &str, what: impl fmt::Display) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "  {label:<10}  {what}");
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

const MASK: &str = "****";
