//! What a token endpoint says for itself when it refuses, without anything that we sent it.

use std::borrow::Cow;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;
use zeroize::Zeroizing;

/// Everything in a request that may be secret: what an answer could hold an echo of.
#[derive(Default)]
pub(super) struct Sent(Vec<Zeroizing<String>>);

impl Sent {
    /// Adds a secret in all the spellings in which it could come back.
    pub(super) fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let mut keep = |text: &str| {
            let mut spelled = cleaned(text);
            spelled.make_ascii_lowercase();
            if !self.0.contains(&spelled) {
                self.0.push(spelled);
            }
        };
        let json = Zeroizing::new(serde_json::to_string(secret).unwrap_or_default());
        let form: Zeroizing<String> =
            Zeroizing::new(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
        keep(secret);
        keep(json.trim_matches('"'));
        keep(&form);
        keep(&Zeroizing::new(form.replace('+', "%20")));
        // Base64 of a longer text holds this one at one of three offsets; what depends on neighbours is left out.
        for offset in 0..3 {
            let padded = Zeroizing::new([&b"\0\0"[..offset], secret.as_bytes()].concat());
            let whole = padded.len() / 3 * 3;
            let first = usize::from(offset > 0) * 4;
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let text = Zeroizing::new(engine.encode(&padded[..whole]));
                if text.len() > first + 3 {
                    keep(&text[first..]);
                }
            }
        }
    }

    /// `text` with `****` for what was sent, for parts of it, and for whatever else looks like a token.
    fn masked(&self, text: &str) -> Option<String> {
        let text = cleaned(text);
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        let chars: Vec<(usize, char)> = text.char_indices().collect();
        let mut hidden = vec![false; text.len()];
        for secret in &self.0 {
            if secret.len() < SHORTEST && lower.contains(secret.as_str()) {
                // Too short to be told from other text: all of it goes.
                return None;
            }
            for (at, _) in lower.match_indices(secret.as_str()) {
                hidden[at..at + secret.len()].fill(true);
            }
        }
        // A part of a secret, as when the echo was cut.
        for start in 0..chars.len().saturating_sub(PART - 1) {
            let from = chars[start].0;
            let to = chars.get(start + PART).map_or(text.len(), |next| next.0);
            let part = &lower[from..to];
            if self.0.iter().any(|secret| secret.contains(part)) {
                hidden[from..to].fill(true);
            }
        }
        // What a hidden part is glued to may be its rest, as in Base64 of a longer text.
        for run in chars.chunk_by(|a, b| is_tokenlike(a.1) == is_tokenlike(b.1)) {
            let is_hidden = run.iter().any(|(from, _)| hidden[*from]);
            if is_tokenlike(run[0].1) && (run.len() >= LONGEST_RUN || is_hidden) {
                run.iter().for_each(|(from, _)| hidden[*from] = true);
            }
        }
        let mut out = String::new();
        for (from, char) in chars {
            if !hidden[from] {
                out.push(char);
            } else if !out.ends_with("****") {
                out.push_str("****");
            }
        }
        Some(out)
    }
}

/// The words of an answer that refuses, fit to be shown; none where it has none.
pub(super) fn words(headers: &HeaderMap, body: &[u8], sent: &Sent) -> Option<String> {
    let body = &body[..body.len().min(LONGEST_BODY)];
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(value) => Zeroizing::new(of_json(&value)?),
        Err(_) => Zeroizing::new(of_text(headers, body)?.into_owned()),
    };
    let cut: Zeroizing<String> = Zeroizing::new(said.chars().take(LONGEST_SEARCHED).collect());
    let masked = sent.masked(&cut)?;
    let words = masked.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(LONGEST_SHOWN).collect();
    Some(shown).filter(|shown| !shown.is_empty())
}

/// Code and sentence, however vendors call them and as deep as they hide them.
fn of_json(value: &Value) -> Option<String> {
    let mut open = vec![value];
    for _ in 0..DEEPEST {
        if let Some(said) = open.iter().find_map(|value| of_members(value)) {
            return Some(said);
        }
        open = open.into_iter().flat_map(inside).collect();
    }
    None
}

fn of_members(value: &Value) -> Option<String> {
    let inner = value.get("error").filter(|error| error.is_object());
    let from = inner.unwrap_or(value).as_object()?;
    let first = |names: &[&str]| {
        names.iter().find_map(|name| {
            let member = from.iter().find(|(known, _)| folded(known) == *name);
            match member?.1 {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }
        })
    };
    let code = first(&[
        "error",
        "type",
        "code",
        "errorcode",
        "responsecode",
        "title",
    ]);
    let code = code.filter(|code| code != "about:blank");
    let text = first(&[
        "errordescription",
        "message",
        "errormessage",
        "responsemessage",
        "detail",
        "title",
    ]);
    match (code, text) {
        (Some(code), Some(text)) if code != text => Some(format!("{code}: {text}")),
        (code, text) => text.or(code),
    }
}

/// The objects in a value, also those in a list of it: `{"errors": [{...}]}`.
fn inside(value: &Value) -> impl Iterator<Item = &Value> {
    let members = value.as_object().into_iter().flat_map(|it| it.values());
    members.flat_map(|member| match member {
        Value::Array(items) => items.as_slice(),
        member => std::slice::from_ref(member),
    })
}

/// `ErrorCode` and `error_code` are one name.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '-'], "")
}

/// The first line of what is meant for people; pages of HTML are not.
fn of_text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Cow<'a, str>> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if !kind.to_ascii_lowercase().starts_with("text/plain") {
        return None;
    }
    let line = body
        .trim_ascii_start()
        .split(|byte| *byte == b'\n')
        .next()?;
    Some(String::from_utf8_lossy(line))
}

/// Letters and printable ASCII; a space for anything else.
fn cleaned(text: &str) -> Zeroizing<String> {
    let fit = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphabetic();
    let clean = text.chars().map(|c| if fit(c) { c } else { ' ' });
    Zeroizing::new(clean.collect())
}

fn is_tokenlike(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-.~%".contains(c)
}

/// Secrets below this are not looked for within words.
const SHORTEST: usize = 4;
/// The least part of a secret that is masked, in characters.
const PART: usize = 8;
const LONGEST_RUN: usize = 24;
const LONGEST_BODY: usize = 64 * 1024;
const LONGEST_SEARCHED: usize = 600;
const LONGEST_SHOWN: usize = 200;
/// How deep an answer is searched for words.
const DEEPEST: usize = 4;

#[cfg(test)]
mod tests;
