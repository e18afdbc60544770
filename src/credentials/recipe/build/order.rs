//! Who waits for whom, and whom all of it is for.

use std::collections::BTreeSet;

use super::{
    super::step::{Step, Work},
    Builder,
};
use crate::{config::Sp, credentials::Linked};

impl Builder<'_> {
    /// A request names its user or brings tokens, and those of one exchange: never both.
    pub(super) fn subject(&mut self, uses_subject: bool, steps: &[Step]) {
        let config = self.config;
        let links = steps.iter().filter_map(|step| match &step.work {
            Work::Link(linked) if linked.is_per_subject() => Some((step, linked)),
            _ => None,
        });
        let links: Vec<_> = links.collect();
        let with_tokens = |tokens: &Linked| tokens.tokens_from().cloned();
        let Some((step, linked)) = links.iter().find(|(_, it)| it.tokens_from().is_some()) else {
            return;
        };
        let apart = links
            .iter()
            .find(|(_, it)| with_tokens(it) != with_tokens(linked));
        let why = match apart {
            Some((other, _)) => format!("that of `{}` is not", other.name),
            None if uses_subject => "`{{ subject }}` is the name of a user".into(),
            None => return,
        };
        let span = config.r#use.as_ref().and_then(|all| all.get(&step.name));
        let span = span.map_or(self.cx.span(), |link| link.credential.span);
        let header = linked
            .tokens_from()
            .map_or("", |tokens| tokens.subject.as_str());
        let message = format!(
            "whom `{}` is for is told by the token in `{header}`, but {why}",
            linked.name()
        );
        let error = self.fault(span, message);
        self.cx.report(error.hint(
            "a request has one subject: build on credentials that take the same header, or on none that does",
        ));
    }

    /// The steps, each after those that it waits for.
    pub(super) fn order(&mut self, steps: Vec<Step>) -> Option<Vec<Step>> {
        let names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
        let index = |name: &str| names.iter().position(|known| known == name);
        let mut waits: Vec<BTreeSet<usize>> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let reads = step.reads().into_iter().filter_map(index);
            waits.push(reads.filter(|it| *it != at).collect());
        }
        let config = self.config;
        for step in config.steps.iter().flat_map(|all| all.iter()) {
            for name in step.after.iter().flat_map(|all| all.iter()) {
                match (index(&step.name), index(name)) {
                    (Some(at), Some(other)) => drop(waits[at].insert(other)),
                    _ => self.no_step(name, names.iter().map(String::as_str)),
                }
            }
        }
        for again in config.retry_from_start.iter().flat_map(|all| all.iter()) {
            let calls = steps
                .iter()
                .filter(|step| matches!(step.work, Work::Call(_)));
            let mut calls = calls.map(|step| step.name.as_str());
            if !calls.clone().any(|name| name == again.step.value) {
                self.no_step(&again.step, &mut calls);
            }
        }
        let mut order: Vec<usize> = Vec::new();
        while let Some(next) = (0..steps.len())
            .find(|at| !order.contains(at) && waits[*at].iter().all(|other| order.contains(other)))
        {
            order.push(next);
        }
        if let Some(stuck) = (0..steps.len()).find(|at| !order.contains(at)) {
            self.circle(stuck, &names, |at| {
                waits[at]
                    .iter()
                    .copied()
                    .find(|other| !order.contains(other))
            });
        }
        if !self.fine {
            return None;
        }
        let place = |at: usize| order.iter().position(|it| *it == at);
        let is_link: Vec<bool> = steps
            .iter()
            .map(|step| matches!(step.work, Work::Link(_)))
            .collect();
        let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
        let mut sorted = Vec::with_capacity(steps.len());
        for at in &order {
            let mut step = steps[*at].take()?;
            step.waits_for = waits[*at]
                .iter()
                .filter_map(|other| place(*other))
                .collect();
            if let Work::Call(request) = &mut step.work {
                let sent = request
                    .sent()
                    .into_iter()
                    .flat_map(|(_, template)| template.names());
                let links: BTreeSet<usize> =
                    sent.filter_map(index).filter(|it| is_link[*it]).collect();
                request.links = links.into_iter().filter_map(place).collect();
            }
            sorted.push(step);
        }
        Some(sorted)
    }

    fn no_step<'n>(&mut self, name: &Sp<String>, there_are: impl IntoIterator<Item = &'n str>) {
        let error = self.fault(
            name.span,
            format!("there is no such step: `{}`", name.value),
        );
        self.cx.report(error.suggest(name, there_are));
    }

    /// Reports the circle that `next` leads into.
    fn circle(&mut self, stuck: usize, names: &[String], next: impl Fn(usize) -> Option<usize>) {
        let mut path = vec![stuck];
        let begin = loop {
            let Some(other) = path.last().and_then(|at| next(*at)) else {
                return;
            };
            if let Some(begin) = path.iter().position(|at| *at == other) {
                break begin;
            }
            path.push(other);
        };
        let path: Vec<&str> = path[begin..].iter().map(|at| names[*at].as_str()).collect();
        let message = format!(
            "`{}` waits for `{}`: a circle",
            path.join("` waits for `"),
            path[0]
        );
        let config = self.config;
        let mut steps = config.steps.iter().flat_map(|all| all.iter());
        let links = config.r#use.iter().flat_map(|all| all.iter());
        let step = steps
            .find(|step| step.name.value == path[0])
            .map(|step| step.name.span);
        let link = links
            .map(|(name, _)| name)
            .find(|name| name.value == path[0]);
        let span = step
            .or(link.map(|name| name.span))
            .unwrap_or(self.cx.span());
        let error = self.fault(span, message);
        self.cx.report(
            error.hint("a step waits for those whose values it uses, and those in `after`"),
        );
    }
}
