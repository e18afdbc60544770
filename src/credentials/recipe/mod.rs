//! `recipe:` a list of calls and signatures from whose answers a credential is put together.
//!
//! Nothing outlives a run: values, cookies and answers are forgotten at its end, whatever it brought.

use std::{sync::Arc, time::Duration};

use super::{
    BoxFuture, Credential, Fetch, FetchError, Fingerprint, Linked, Source,
    grants::{BuildContext, Grant, GrantConfig},
};
use crate::{
    config::{Decode, Decoder, Node, table::Variant},
    secret::Secret,
};

mod build;
mod call;
mod callback;
mod cookies;
mod expiry;
mod extract;
mod json;
pub mod keys;
mod redirect;
mod refusal;
mod run;
mod step;
mod template;

use keys::{Config, ExpiryKind, Life};
use step::{Step, Work};
use template::Template;

#[cfg(test)]
mod tests;

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode,
};

/// The keys, and the tree they were read from: all of it tells one recipe from another.
#[derive(Debug)]
struct Written {
    config: Config,
    node: Node,
}

fn decode(node: &Node, decoder: &mut Decoder) -> Option<Box<dyn GrantConfig>> {
    let config = Config::decode(node, decoder)?;
    Some(Box::new(Written {
        config,
        node: node.clone(),
    }))
}

impl GrantConfig for Written {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        let recipe = build::recipe(&self.config, &self.node, cx)?;
        Some(Arc::new(recipe))
    }
}

/// Runs the steps, each as soon as those that it waits for have ended.
#[derive(Debug)]
struct Recipe {
    fingerprint: Fingerprint,
    vars: Vec<(String, Secret)>,
    steps: Vec<Step>,
    outputs: Vec<Output>,
    expires: Expires,
    /// Whether it makes calls of its own, rather than only joining other credentials.
    calls: bool,
    uses_subject: bool,
}

#[derive(Debug)]
struct Output {
    name: String,
    value: Template,
    optional: bool,
}

#[derive(Debug)]
struct Expires {
    /// The value, and the step in whose answer it stands.
    from: Option<(Template, Option<usize>)>,
    kind: ExpiryKind,
    default: Life,
    max: Option<Duration>,
}

impl Source for Recipe {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn endpoints(&self) -> Vec<&str> {
        let calls = self.steps.iter().filter_map(|step| match &step.work {
            Work::Call(request) => Some(&*request.shown),
            Work::Link(_) | Work::Sign(_) => None,
        });
        calls.collect()
    }

    fn deadlines(&self) -> Vec<Duration> {
        let calls = self.steps.iter().filter_map(|step| match &step.work {
            Work::Call(request) => Some(request.endpoint.deadlines()),
            Work::Link(_) | Work::Sign(_) => None,
        });
        calls.flatten().collect()
    }

    fn links(&self) -> Vec<&Linked> {
        let links = self.steps.iter().filter_map(|step| match &step.work {
            Work::Link(linked) => Some(linked),
            Work::Sign(_) | Work::Call(_) => None,
        });
        links.collect()
    }

    fn parts(&self) -> Vec<&str> {
        let names = self.outputs.iter().map(|output| output.name.as_str());
        names.collect()
    }

    /// What is only joined is kept by those that it is joined of.
    fn keeps(&self) -> bool {
        self.calls
    }

    fn per_subject(&self) -> bool {
        self.uses_subject || self.links().into_iter().any(Linked::is_per_subject)
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(self.obtain(ask))
    }
}

const KEY: &str = "recipe";

/// Names that every template may use.
const SUBJECT: &str = "subject";
const NOW: &str = "now";
const RANDOM: &str = "random";

const LONGEST_PART: usize = 16 * 1024;
