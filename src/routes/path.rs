//! Paths as others might read them: forms that are never matched or sent, only compared with what is.
//!
//! Between us and the program that answers stand servers that decode once or twice, resolve dot segments,
//! merge slashes, take `\` for `/` or cut parameters off, in any order. So no one order is guessed:
//! `each_form` walks every text that some sequence of these steps can make of a path. A path that keeps
//! its route in all of them is harmless, whatever the upstream does; any other is refused.

use std::borrow::Cow;

use crate::percent::decode;

/// Why a path that is well-formed is refused all the same (400 `path_refused`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// Resolved, it climbs above what the route matched or above the upstream's base path.
    #[error("the path leads out of the route that it matches")]
    Leaves,
    /// Read otherwise, it belongs to another route.
    #[error("the path may be read as that of another route")]
    OtherRoute,
    /// It can be read in more ways than anything well-meant.
    #[error("the path may be read in too many ways")]
    TooManyForms,
    /// An overlong encoding or a NUL under layers of percent-encoding.
    #[error("the path hides a byte by its encoding")]
    Disguised,
    /// What would be sent begins with `//`, which some read as an authority.
    #[error("the path begins with two slashes")]
    Authority,
}

/// Whether all servers read `path` alike: it has no `%`, `;`, `\`, no empty and no dotted segment.
pub fn is_plain(path: &str) -> bool {
    let mut after_slash = false;
    for byte in path.bytes() {
        match byte {
            b'%' | b';' | b'\\' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = byte == b'/',
        }
    }
    true
}

/// Builds the path and query for the upstream: `rest` below `base`, and the query as it came.
///
/// `rest` is the path behind the matched prefix, or behind its first slash where the prefix is kept. It is
/// checked here again, on the bytes that will be sent, whoever cut or changed them.
///
/// # Errors
/// [`PathRefused`] where the result may be read as a path that is not below `base`, or as an authority.
pub fn outgoing(base: &str, rest: &str, query: Option<&str>) -> Result<String, PathRefused> {
    let mut target = String::with_capacity(
        base.len() + 1 + rest.len() + query.map_or(0, |query| query.len() + 1),
    );
    target.push_str(base);
    if !rest.is_empty() {
        if !base.ends_with('/') {
            target.push('/');
        }
        target.push_str(rest);
    }
    if target.starts_with("//") {
        return Err(PathRefused::Authority);
    }
    // From the slash on, so that a segment at the very start of `rest` is seen as one.
    if !is_plain(&target[base.len().saturating_sub(1)..]) {
        each_form(rest.as_bytes(), |_| Ok(()))?;
    }
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    Ok(target)
}

/// Calls `visit` with every other text that servers might make of `rest`, which follows a slash.
///
/// # Errors
/// What `visit` returns, [`PathRefused::Leaves`] where a form climbs above that slash, and the other
/// reasons where there are too many forms to walk.
pub(super) fn each_form(
    rest: &[u8],
    mut visit: impl FnMut(&[u8]) -> Result<(), PathRefused>,
) -> Result<(), PathRefused> {
    let mut forms = vec![Cow::Borrowed(rest)];
    let mut next = 0;
    while next < forms.len() {
        for step in STEPS {
            let Some(form) = step(&forms[next])? else {
                continue;
            };
            if forms.iter().any(|known| **known == *form) {
                continue;
            }
            if forms.len() == MAX_FORMS {
                return Err(PathRefused::TooManyForms);
            }
            visit(&form)?;
            forms.push(Cow::Owned(form));
        }
        next += 1;
    }
    Ok(())
}

/// Whether a path of the file, decoded or not, has neither dot segments nor empty ones.
pub(super) fn is_normal(path: &str) -> bool {
    let unchanged = |rest: &[u8]| {
        matches!(resolve_dots(rest), Ok(None)) && matches!(merge_slashes(rest), Ok(None))
    };
    let mut form = Cow::Borrowed(&path.as_bytes()[1..]);
    for _ in 0..MAX_FORMS {
        if !unchanged(&form) {
            return false;
        }
        match decode(&form) {
            Some(decoded) => form = Cow::Owned(decoded),
            None => return true,
        }
    }
    false
}

type Step = fn(&[u8]) -> Result<Option<Vec<u8>>, PathRefused>;

/// What a server may do to a path that it was sent; each gives `None` where it changes nothing.
const STEPS: [Step; 6] = [
    decode_checked,
    resolve_dots,
    merge_slashes,
    turn_backslashes,
    cut_parameters,
    cut_query,
];

fn decode_checked(rest: &[u8]) -> Result<Option<Vec<u8>>, PathRefused> {
    let Some(decoded) = decode(rest) else {
        return Ok(None);
    };
    // C0 and C1 begin only overlong spellings of ASCII, such as `%c0%ae` for a dot.
    let overlong = |pair: &[u8]| matches!(pair, [0xc0 | 0xc1, 0x80..=0xbf]);
    if decoded.contains(&0) || decoded.windows(2).any(overlong) {
        return Err(PathRefused::Disguised);
    }
    Ok(Some(decoded))
}

/// RFC 3986 5.2.4, below the slash that `rest` follows.
fn resolve_dots(rest: &[u8]) -> Result<Option<Vec<u8>>, PathRefused> {
    let is_dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    if !rest.split(|&byte| byte == b'/').any(is_dots) {
        return Ok(None);
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_in_dots = false;
    for segment in rest.split(|&byte| byte == b'/') {
        ends_in_dots = is_dots(segment);
        match segment {
            b"." => {}
            b".." => drop(kept.pop().ok_or(PathRefused::Leaves)?),
            _ => kept.push(segment),
        }
    }
    if ends_in_dots && !kept.is_empty() {
        kept.push(b"");
    }
    Ok(Some(kept.join(&b'/')))
}

fn merge_slashes(rest: &[u8]) -> Result<Option<Vec<u8>>, PathRefused> {
    let mut after_slash = true;
    let mut merged = Vec::with_capacity(rest.len());
    for &byte in rest {
        if !(after_slash && byte == b'/') {
            merged.push(byte);
        }
        after_slash = byte == b'/';
    }
    Ok((merged.len() < rest.len()).then_some(merged))
}

fn turn_backslashes(rest: &[u8]) -> Result<Option<Vec<u8>>, PathRefused> {
    if !rest.contains(&b'\\') {
        return Ok(None);
    }
    let turn = |&byte: &u8| if byte == b'\\' { b'/' } else { byte };
    Ok(Some(rest.iter().map(turn).collect()))
}

fn cut_parameters(rest: &[u8]) -> Result<Option<Vec<u8>>, PathRefused> {
    if !rest.contains(&b';') {
        return Ok(None);
    }
    let mut in_parameters = false;
    let mut cut = Vec::with_capacity(rest.len());
    for &byte in rest {
        match byte {
            b'/' => in_parameters = false,
            b';' => in_parameters = true,
            _ => {}
        }
        if !in_parameters {
            cut.push(byte);
        }
    }
    Ok(Some(cut))
}

/// A decoded `%3f` or `%23` ends the path for a server that parses what it has decoded.
fn cut_query(rest: &[u8]) -> Result<Option<Vec<u8>>, PathRefused> {
    let end = rest.iter().position(|byte| matches!(byte, b'?' | b'#'));
    Ok(end.map(|end| rest[..end].to_vec()))
}

/// Real paths have one to five; the bound keeps a hostile one from costing more than its own length, often.
const MAX_FORMS: usize = 32;

#[cfg(test)]
pub(super) mod tests;
