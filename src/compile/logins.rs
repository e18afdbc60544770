//! Where a credential could be abused to obtain another token, and what a client that logs in there gets.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use http::HeaderValue;

use super::{credentials::Sources, upstreams::Target};
use crate::{
    config::{
        Decoder, Diagnostic, HttpUrl, Sp,
        node::Kind,
        raw::{RawCredential, RawFile, RawLogin},
    },
    injectors::TemplateError,
    routes::{HostHeader, Login, LoginAnswer, LoginPath, host::Authority},
};

/// The logins of every credential: its own, those of its families, of what it builds on, and of what builds on it. At
/// the last ones it is what a token is bought with.
pub(super) struct Logins {
    by_name: HashMap<String, Own>,
    related: HashMap<String, BTreeSet<String>>,
}

/// What one credential brings.
#[derive(Default)]
struct Own {
    /// The `emulate:` of the file or of a preset: at any server that gets the credential.
    declared: Vec<Login>,
    endpoints: Vec<(HttpUrl, Login)>,
}

impl Logins {
    pub(super) fn compile(file: &RawFile, sources: &Sources, decoder: &mut Decoder) -> Self {
        let oauth = Arc::new(LoginAnswer::oauth());
        let mut logins = Self {
            by_name: HashMap::new(),
            related: HashMap::new(),
        };
        for (name, raw) in file.credentials.iter().flat_map(|all| all.iter()) {
            let declared = raw.settings.emulate.iter().flat_map(|list| list.iter());
            let own = Own {
                declared: declared.filter_map(|raw| login(raw, decoder)).collect(),
                endpoints: endpoints(name, raw, sources, &oauth),
            };
            logins.by_name.insert(name.value.clone(), own);
            for other in chain(name, sources) {
                logins.relate(&other, name);
            }
            // One vendor's: what its main credential lists counts for all of them.
            let families = raw.settings.families.iter().flat_map(|list| list.iter());
            let families: Vec<&str> = families.map(|it| it.credential.as_str()).collect();
            for (at, one) in families.iter().enumerate() {
                logins.relate(one, name);
                families[..at]
                    .iter()
                    .for_each(|other| logins.relate(one, other));
            }
        }
        logins
    }

    /// Those that a request with `credential` to `target` could reach, its own first.
    pub(super) fn at(&self, credential: &str, target: &Target) -> Vec<Login> {
        let related = self.related.get(credential).into_iter().flatten();
        let names = [credential].into_iter().chain(related.map(String::as_str));
        names
            .filter_map(|name| self.by_name.get(name))
            .flat_map(|own| {
                let endpoints = own.endpoints.iter();
                let here = endpoints.filter(|(url, _)| is_at(url, target));
                own.declared.iter().chain(here.map(|(_, login)| login))
            })
            .cloned()
            .collect()
    }

    fn relate(&mut self, one: &str, other: &str) {
        for (one, other) in [(one, other), (other, one)] {
            let related = self.related.entry(one.to_owned()).or_default();
            related.insert(other.to_owned());
        }
    }
}

/// `name`, and every credential that it builds on.
fn chain(name: &str, sources: &Sources) -> BTreeSet<String> {
    let mut open = vec![name.to_owned()];
    let mut names = BTreeSet::new();
    while let Some(name) = open.pop() {
        let links = sources.get(&name).map(|built| built.source.links());
        let links = links.into_iter().flatten();
        open.extend(links.map(|linked| linked.name().to_string()));
        names.insert(name);
    }
    names
}

/// The token endpoints that a credential calls itself. That of a grant of OAuth is answered as such.
fn endpoints(
    name: &str,
    raw: &RawCredential,
    sources: &Sources,
    oauth: &Arc<LoginAnswer>,
) -> Vec<(HttpUrl, Login)> {
    let Some(built) = sources.get(name) else {
        return Vec::new();
    };
    let answered = OAUTH.contains(&built.source.grant());
    // The endpoint is not known before the issuer's document is read, but all of them are called so.
    let by_issuer = raw.grant.get("issuer").is_some();
    let query = query(raw).filter(|_| answered);
    let path = |at: usize, url: &HttpUrl| match (at == 0, by_issuer, &query) {
        (true, true, _) => LoginPath::ending("/token"),
        (true, false, Some(query)) => LoginPath::whole(&url.path).with_query(&url.path, query),
        _ => LoginPath::whole(&url.path),
    };
    let urls = built.source.endpoints();
    let urls = urls.into_iter().filter_map(|url| HttpUrl::parse(url).ok());
    urls.enumerate()
        .map(|(at, url)| {
            let login = Login {
                path: path(at, &url),
                // The first is the token endpoint, whatever else the grant needs.
                answer: Some(Arc::clone(oauth)).filter(|_| answered && at == 0),
            };
            (url, login)
        })
        .collect()
}

/// That of the token endpoint, which is not shown and so not among a source's endpoints.
fn query(raw: &RawCredential) -> Option<String> {
    match &raw.grant.get("token_url")?.kind {
        Kind::Scalar(scalar) => HttpUrl::parse(&scalar.text).ok()?.query,
        _ => None,
    }
}

/// One login of the file; none where diagnostics say why not.
fn login(raw: &Sp<RawLogin>, decoder: &mut Decoder) -> Option<Login> {
    if !raw.failed.is_empty() {
        return None;
    }
    let path = &raw.path;
    let named = path
        .split('/')
        .any(|it| !it.is_empty() && !it.starts_with('{'));
    if !path.starts_with('/') || path.contains(['?', '#', '\\']) || !named {
        decoder.push(
            Diagnostic::error(path.span, "this is no path of a login")
                .hint("write how it ends, from a slash on, as in `/oauth2/token`"),
        );
        return None;
    }
    let answer = match &raw.body {
        Some(body) => Some(Arc::new(answer(raw, body, decoder)?)),
        None => None,
    };
    Some(Login {
        path: LoginPath::ending(path),
        answer,
    })
}

fn answer(raw: &RawLogin, body: &Sp<String>, decoder: &mut Decoder) -> Option<LoginAnswer> {
    let Ok(content_type) = HeaderValue::try_from(&raw.content_type.value) else {
        return decoder.fail(raw.content_type.span, "this is no media type");
    };
    let echo = raw.echo.iter().flat_map(|list| list.iter());
    let echo: Vec<&str> = echo.map(|name| name.value.as_str()).collect();
    let (method, status) = (raw.method.value.clone(), raw.status.value);
    match LoginAnswer::new(method, status, content_type, body, &echo) {
        Ok(answer) => Some(answer),
        Err(error) => {
            let found = Diagnostic::error(body.span, "this template can't be used");
            decoder.push(match error {
                TemplateError::UnknownPart { name, known } => found.hint(format!(
                    "`{name}` is none of `{}`; what the client sent has to stand in `echo`",
                    known.join("`, `")
                )),
                error => found.hint(error.to_string()),
            });
            None
        }
    }
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
    let by_place = target.places.iter().any(|it| same_server(endpoint, it));
    by_host || by_place || same_server(endpoint, &target.url)
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

/// The grants whose token endpoint answers as RFC 6749 says.
const OAUTH: [&str; 7] = [
    "client_credentials",
    "refresh_token",
    "password",
    "jwt_bearer",
    "token_exchange",
    "authorization_code",
    "device_code",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_many_urls() {
        let url = |text: &str| HttpUrl::parse(text).unwrap();
        let token = url("https://Login.Example.com/token");
        for same in [
            "https://login.example.com/",
            "https://login.example.com:443/v2/",
            "https://LOGIN.EXAMPLE.COM./",
            "http://login.example.com/",
        ] {
            assert!(same_server(&token, &url(same)), "{same}");
        }
        for other in [
            "https://login.example.com:8443/",
            "https://example.com/",
            "https://login.example.com.evil.example/",
        ] {
            assert!(!same_server(&token, &url(other)), "{other}");
        }
        for (one, other) in [
            ("http://127.0.0.1:9000/", "http://localhost:9000/"),
            ("http://[::1]:9000/", "http://[0:0:0:0:0:0:0:1]:9000/"),
            ("https://[2001:db8::1]/", "https://[2001:DB8:0::0:1]/"),
        ] {
            assert!(same_server(&url(one), &url(other)), "{one} {other}");
        }
    }
}
