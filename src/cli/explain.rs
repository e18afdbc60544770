//! `bearerd explain METHOD URL`: which route a request takes and why, and what would be sent. Offline: no
//! token call, and no secret is read or shown.

mod tell;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, header,
    uri::{PathAndQuery, Uri},
};

use super::{
    file,
    output::{self, Failure},
    small_runtime,
};
use crate::{
    compile,
    layers::{Connection, Error, Head, LastHost, check_host},
    routes::{Snapshot, target},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that has the routes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    request: Request,
}

/// A request to explain, as the command line gives it.
#[derive(Debug, clap::Args)]
struct Request {
    /// Method, such as GET
    method: String,
    /// What the client asks for, such as http://127.0.0.1:8080/billing/invoices?id=7, or its path alone
    url: String,
    /// A header that the client sends; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// Exit code 1 where the proxy itself would answer.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = file::find(args.config.as_deref());
    let compiled = file::look(&path, &small_runtime()?, compile::load_file_without_secrets)?;
    let mut listeners = compiled.settings.listen.iter();
    let local = listeners.find_map(|listener| listener.address.tcp());
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Connection::new(nowhere, local.unwrap_or(nowhere));
    let explanation = explain(&compiled.snapshot, &listener, &args.request)?;
    output::data(&explanation)?;
    if explanation.forwarded {
        Ok(())
    } else {
        Err(Failure::failed("this request would not be sent on"))
    }
}

/// What becomes of a request, in words.
#[derive(Debug)]
struct Explanation {
    text: String,
    /// Whether it would be sent on; else the proxy answers it.
    forwarded: bool,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Explains what `snapshot` makes of a request.
///
/// # Errors
/// [`Failure`] where the command line describes no request.
fn explain(
    snapshot: &Snapshot,
    listener: &Connection,
    request: &Request,
) -> Result<Explanation, Failure> {
    let head = match head(request, listener)? {
        Ok(head) => head,
        Err(refused) => {
            let mut text = format!("{} {}\n", request.method, request.url);
            tell::answer(&mut text, &refused);
            return Ok(Explanation {
                text,
                forwarded: false,
            });
        }
    };
    let mut text = format!("{} {}\n", head.method, request.url);
    if check_host(head.authority.as_deref(), listener, snapshot).is_err() {
        // Told, not final: the URL may name the proxy as somebody else reaches it.
        tell::unknown_host(&mut text, listener);
    }
    let told = tell::request(&mut text, snapshot, head);
    if let Err(error) = &told {
        tell::answer(&mut text, error);
    }
    Ok(Explanation {
        text,
        forwarded: matches!(told, Ok(true)),
    })
}

/// The head of the request, or why the proxy refuses it before it looks for a route.
fn head(request: &Request, listener: &Connection) -> Result<Result<Head, Error>, Failure> {
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| Failure::usage(format!("`{}` is not a method", request.method)))?;
    let mut headers = HeaderMap::new();
    for line in &request.headers {
        let (name, value) = header_of(line)
            .ok_or_else(|| Failure::usage("a header is not in the form `Name: value`"))?;
        headers.append(name, value);
    }
    let url = &request.url;
    let bare = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let (authority, target) = match bare {
        None if url.starts_with('/') => ("", url.as_str()),
        None => {
            return Err(Failure::usage(format!(
                "`{url}` is neither a URL nor a path"
            )));
        }
        Some(bare) => bare.split_at(bare.find(['/', '?', '#']).unwrap_or(bare.len())),
    };
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    if !headers.contains_key(header::HOST) {
        let own = listener.own_host();
        let host = HeaderValue::from_str(if authority.is_empty() {
            &own
        } else {
            authority
        });
        headers.insert(
            header::HOST,
            host.map_err(|_| Failure::usage("the URL's host is not a host name"))?,
        );
    }
    if let Err(refused) = target::check(&target) {
        return Ok(Err(Error::PathRefused(refused.to_string())));
    }
    let target = PathAndQuery::try_from(target).map_err(|_| {
        Failure::usage(format!(
            "`{url}` has characters that must be percent-encoded"
        ))
    })?;
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = method;
    parts.uri = Uri::from(target);
    parts.headers = headers;
    Ok(Head::parse(parts, listener, &mut LastHost::default()))
}

fn header_of(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    Some((name, HeaderValue::from_str(value.trim()).ok()?))
}

#[cfg(test)]
mod tests;
