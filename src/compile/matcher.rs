//! `match:` compiled: hosts, paths and expressions that some request can satisfy.

use http::HeaderName;

use crate::{
    config::{
        Decoder, Diagnostic, Sp,
        raw::{Match, TextMatch},
        scalars::Named,
    },
    routes::{
        host::HostPattern,
        pattern::{HeaderMatcher, Matcher, PathPattern, QueryMatcher, TextRegex, ValueMatcher},
    },
};

/// The matcher; none where diagnostics say why not, all of them.
pub(super) fn compile(raw: &Sp<Match>, decoder: &mut Decoder) -> Option<Matcher> {
    let host = host(raw, decoder);
    let path = path(raw, decoder);
    let headers = values(raw.headers.as_ref(), decoder, |name, decoder| {
        name.parse::<HeaderName>().ok().or_else(|| {
            let error = Diagnostic::error(name.span, "this is no name of a header");
            decoder.push(error.hint("letters, digits and `-`, as in `X-Api-Key`"));
            None
        })
    });
    let query = values(raw.query.as_ref(), decoder, |name, _| {
        Some(name.value.clone())
    });
    if !raw.failed.is_empty() {
        return None;
    }
    let mut methods: Vec<http::Method> = Vec::new();
    for method in raw.methods.iter().flat_map(|methods| methods.iter()) {
        if !methods.contains(&method.value) {
            methods.push(method.value.clone());
        }
    }
    Some(Matcher {
        host: host?,
        path: path?,
        methods,
        headers: headers?
            .into_iter()
            .map(|(name, value)| HeaderMatcher { name, value })
            .collect(),
        query: query?
            .into_iter()
            .map(|(name, value)| QueryMatcher { name, value })
            .collect(),
    })
}

fn host(raw: &Match, decoder: &mut Decoder) -> Option<HostPattern> {
    let Some(host) = &raw.host else {
        return Some(HostPattern::Any);
    };
    HostPattern::parse(host).ok().or_else(|| {
        decoder.push(
            Diagnostic::error(host.span, "this is no host to match")
                .hint("write `example.com` or `*.example.com`, without a port"),
        );
        None
    })
}

fn path(raw: &Sp<Match>, decoder: &mut Decoder) -> Option<PathPattern> {
    match (&raw.path, &raw.path_regex) {
        (Some(_), Some(regex)) => return decoder.fail(regex.span, "`path` and `path_regex` exclude each other"),
        (Some(path), None) => PathPattern::parse(path).map_err(|error| (error, path.span)),
        (None, Some(regex)) => PathPattern::regex(regex).map_err(|error| (error, regex.span)),
        // A host route without a path is for all of that host.
        (None, None) if raw.host.is_some() || !raw.failed.is_empty() => Ok(PathPattern::default()),
        (None, None) => {
            decoder.push(
                Diagnostic::error(raw.span, "`match` has neither a path nor a host")
                    .hint("`match: /` is for every request"),
            );
            return None;
        }
    }
    .map_err(|(error, span)| {
        let text = error.to_string();
        let line = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint = match text.contains("slash") {
            true => "a path begins with `/`; the host goes into `host`",
            false => "`/x/` is all below it, `/x` is this path alone, `path_regex` is a regular expression",
        };
        decoder.push(Diagnostic::error(span, line).hint(hint));
    })
    .ok()
}

/// All of them, or none where one is unusable.
fn values<N>(
    named: Option<&Sp<Named<TextMatch>>>,
    decoder: &mut Decoder,
    read_name: impl Fn(&Sp<String>, &mut Decoder) -> Option<N>,
) -> Option<Vec<(N, ValueMatcher)>> {
    let read: Vec<_> = named
        .iter()
        .flat_map(|named| named.iter())
        .map(|(name, text)| {
            let name = read_name(name, decoder);
            let value = match &text.value {
                TextMatch::Exact(exact) => Some(ValueMatcher::Exact(exact.clone())),
                TextMatch::Present => Some(ValueMatcher::Present),
                TextMatch::Regex(source) => match TextRegex::new(source) {
                    Ok(regex) => Some(ValueMatcher::Regex(regex)),
                    Err(_) => decoder.fail(text.span, "this regular expression can't be used"),
                },
            };
            Some((name?, value?))
        })
        .collect();
    read.into_iter().collect()
}
