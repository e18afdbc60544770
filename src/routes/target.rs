//! The target gate: which request targets are looked at at all.

/// Why a request target is refused (400 `path_refused`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefused {
    /// Not origin-form: it does not begin with `/`.
    #[error("the target does not begin with a slash")]
    NotOriginForm,
    /// A raw `#`: what one side cuts off, the other may route by.
    #[error("the target has a fragment")]
    Fragment,
    /// A raw `\`, which some take for a slash.
    #[error("the target has a backslash")]
    Backslash,
    /// A `%` without two hexadecimal digits.
    #[error("the target has a percent sign that encodes nothing")]
    Percent,
    /// `%00`, which ends the text for some.
    #[error("the target has an encoded NUL")]
    Nul,
    /// A control, a space, or a byte beyond ASCII.
    #[error("the target has a byte that must be percent-encoded")]
    Byte,
    /// `..;` and its kin: a dot segment for servers that cut parameters off.
    #[error("the target has a dot segment with parameters")]
    DotParameters,
}

/// Checks a target in origin-form, path and query together, in one pass over its bytes.
///
/// `%2f`, `%5c` and other encoded data pass: whether they are harmless depends on the routes, see
/// [`Table::find`](super::table::Table::find).
///
/// # Errors
/// [`TargetRefused`] with the first thing that is wrong.
pub fn check(target: &str) -> Result<(), TargetRefused> {
    let bytes = target.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(TargetRefused::NotOriginForm);
    }
    let mut in_query = false;
    for (at, &byte) in bytes.iter().enumerate() {
        // One look-up settles nearly every byte.
        if PLAIN[byte as usize] {
            continue;
        }
        match byte {
            b'%' => check_escape(&bytes[at + 1..])?,
            b'?' => in_query = true,
            b';' if in_query => {}
            b';' => check_parameters(&bytes[..at])?,
            b'#' => return Err(TargetRefused::Fragment),
            b'\\' => return Err(TargetRefused::Backslash),
            _ => return Err(TargetRefused::Byte),
        }
    }
    Ok(())
}

fn check_escape(after: &[u8]) -> Result<(), TargetRefused> {
    match after {
        [b'0', b'0', ..] => Err(TargetRefused::Nul),
        [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Ok(()),
        _ => Err(TargetRefused::Percent),
    }
}

/// `before` ends where parameters begin: is what they hang on a dot segment?
fn check_parameters(before: &[u8]) -> Result<(), TargetRefused> {
    let mut rest = before;
    for _ in 0..3 {
        rest = match rest {
            [.., b'/'] if rest.len() < before.len() => return Err(TargetRefused::DotParameters),
            [head @ .., b'.'] => head,
            [head @ .., b'%', b'2', b'e' | b'E'] => head,
            _ => return Ok(()),
        };
    }
    Ok(())
}

/// What stands for itself in a path and in a query: the visible ASCII without `# % ; ? \`.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte <= 0x7e {
        table[byte] = true;
        byte += 1;
    }
    table[b'#' as usize] = false;
    table[b'%' as usize] = false;
    table[b';' as usize] = false;
    table[b'?' as usize] = false;
    table[b'\\' as usize] = false;
    table
};

#[cfg(test)]
mod tests;
