//! One run of a recipe: each step as soon as those that it waits for have ended.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use super::{
    super::{
        Credential, Fetch, FetchError, Lease, Source, Subject, endpoint::Answer, jose::random_id,
    },
    LONGEST_PART, NOW, RANDOM, Recipe, SUBJECT,
    cookies::Cookies,
    expiry::{self, ExpiryKind},
    keys::Life,
    refusal::Refused,
    step::{Step, Work},
    template::Values,
};
use crate::{
    clock::{self, Instant},
    secret::Secret,
};

/// Why a run ended early.
enum Stop {
    /// What it was sent of these links is no good.
    Links(Vec<usize>, FetchError),
    Again(FetchError),
    Failed(FetchError),
}

/// What a step brought.
enum Outcome {
    Leased(Lease),
    Signed(Secret),
    Answered(Box<Answer>),
}

/// When a step's answer was asked for, by all clocks.
#[derive(Clone, Copy)]
struct Told {
    sent: Instant,
    wall: Duration,
    date: Option<Duration>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, FetchError>> + Send + 'a>>;

/// One run.
struct Run {
    values: Values,
    cookies: Cookies,
    leases: Vec<(usize, Lease)>,
    told: Vec<Option<Told>>,
}

impl Recipe {
    /// A refused link and a failure that a new run may mend are each mended once.
    pub(super) async fn obtain(&self, ask: Fetch<'_>) -> Result<Credential, FetchError> {
        if ask.refused && !self.calls {
            // No token call can say which of them was no good.
            self.reject_all(ask);
        }
        let (mut relinked, mut again) = (false, false);
        loop {
            let mut run = Run {
                values: Values::default(),
                cookies: Cookies::default(),
                leases: Vec::new(),
                told: vec![None; self.steps.len()],
            };
            let error = match self.run(ask.subject, &mut run).await {
                Ok(credential) => return Ok(credential),
                Err(Stop::Links(links, error)) => {
                    if !relinked {
                        relinked = true;
                        for (at, lease) in &run.leases {
                            if let (true, Work::Link(link)) =
                                (links.contains(at), &self.steps[*at].work)
                            {
                                link.reject(lease);
                            }
                        }
                        continue;
                    }
                    error
                }
                Err(Stop::Again(error)) => {
                    if !again {
                        again = true;
                        continue;
                    }
                    error
                }
                Err(Stop::Failed(error)) => error,
            };
            return Err(error);
        }
    }

    /// Rejects the links that the refused credential was made from, unless they are newer.
    fn reject_all(&self, ask: Fetch<'_>) {
        // A lease knows its own slot, so any link can take it there: none is obtained for it.
        if let (Some(previous), Some(link)) = (ask.previous, self.links().first()) {
            previous
                .made_from
                .iter()
                .for_each(|lease| link.reject(lease));
        }
    }

    async fn run(&self, subject: &Subject, run: &mut Run) -> Result<Credential, Stop> {
        for (name, text) in &self.vars {
            run.values.texts.insert(name.clone(), text.clone());
        }
        let now = clock::unix_time().as_secs().to_string();
        run.values.texts.insert(NOW.into(), Secret::new(now));
        run.values
            .texts
            .insert(RANDOM.into(), Secret::new(random_id()));
        if let Subject::User(name) = subject {
            run.values
                .texts
                .insert(SUBJECT.into(), Secret::new(&**name));
        } else if self.uses_subject {
            let error = "it is a user's, and the request is nobody's: the route needs `subject`";
            return Err(Stop::Failed(FetchError::malformed(error)));
        }
        let began = clock::now();
        let mut begun = vec![false; self.steps.len()];
        let mut ended = vec![false; self.steps.len()];
        let mut running: Vec<(usize, Running<'_>)> = Vec::new();
        loop {
            // Each after those that it waits for, also where these are skipped.
            for at in 0..self.steps.len() {
                let step = &self.steps[at];
                if begun[at] || !step.waits_for.iter().all(|other| ended[*other]) {
                    continue;
                }
                begun[at] = true;
                if self.is_skipped(step, run) {
                    if !matches!(step.work, Work::Sign(_)) {
                        run.values.parts.entry(step.name.clone()).or_default();
                    }
                    ended[at] = true;
                } else {
                    running.push((at, self.start(step, subject, run).map_err(Stop::Failed)?));
                }
            }
            if running.is_empty() {
                break;
            }
            let (at, outcome) = first(&mut running).await;
            let outcome = outcome.map_err(|error| Stop::Failed(self.steps[at].error(error)))?;
            self.absorb(at, outcome, run)?;
            ended[at] = true;
        }
        self.credential(began, run).map_err(Stop::Failed)
    }

    fn is_skipped(&self, step: &Step, run: &Run) -> bool {
        let Some(when) = &step.when else {
            return false;
        };
        when.render(&run.values)
            .is_none_or(|text| text.trim() != "true")
    }

    /// Begins a step; all that it sends is put together now.
    fn start<'a>(
        &'a self,
        step: &'a Step,
        subject: &'a Subject,
        run: &Run,
    ) -> Result<Running<'a>, FetchError> {
        Ok(match &step.work {
            Work::Link(linked) => {
                Box::pin(async move { linked.lease(subject).await.map(Outcome::Leased) })
            }
            Work::Sign(sign) => {
                let (header, claims) = sign.fill(&run.values).map_err(|e| step.error(e))?;
                Box::pin(async move {
                    let signed = sign.key.sign_aside(header, claims).await?;
                    Ok(Outcome::Signed(signed))
                })
            }
            Work::Call(request) => {
                let ready = request.prepare(&run.values, &run.cookies);
                let ready = ready.map_err(|error| step.error(error))?;
                Box::pin(async move {
                    let answer = request.send(ready).await?;
                    Ok(Outcome::Answered(Box::new(answer)))
                })
            }
        })
    }

    fn absorb(&self, at: usize, outcome: Outcome, run: &mut Run) -> Result<(), Stop> {
        let step = &self.steps[at];
        match (&step.work, outcome) {
            (_, Outcome::Leased(lease)) => {
                let parts = lease.parts();
                let parts = parts.map(|(name, secret)| (name.to_owned(), secret.clone()));
                run.values.parts.insert(step.name.clone(), parts.collect());
                run.leases.push((at, lease));
            }
            (_, Outcome::Signed(token)) => {
                run.values.texts.insert(step.name.clone(), token);
            }
            (Work::Call(request), Outcome::Answered(answer)) => {
                run.told[at] = Some(Told {
                    sent: answer.sent,
                    wall: answer.wall,
                    date: expiry::date(&answer.headers),
                });
                run.cookies.keep(request.endpoint.shown(), &answer.headers);
                run.values.parts.entry(step.name.clone()).or_default();
                let absorbed = request.absorb(&step.name, &answer, &mut run.values);
                absorbed.map_err(|refused| match refused {
                    Refused::Links(error) => Stop::Links(request.links.clone(), step.error(error)),
                    Refused::Again(error) => Stop::Again(step.error(error)),
                    Refused::Failed(error) => Stop::Failed(step.error(error)),
                })?;
                for (link, lease) in &run.leases {
                    if let (true, Work::Link(linked)) =
                        (request.links.contains(link), &self.steps[*link].work)
                    {
                        linked.accept(lease);
                    }
                }
            }
            (_, Outcome::Answered(_)) => {}
        }
        Ok(())
    }

    fn credential(&self, began: Instant, run: &Run) -> Result<Credential, FetchError> {
        let mut parts = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            if output.optional && !output.value.is_ready(&run.values) {
                continue;
            }
            let text = output.value.render(&run.values);
            let text = text.as_deref().ok_or("a value is absent");
            let text = text.and_then(|text| usable(text)).map_err(|why| {
                FetchError::malformed(format!("`outputs.{}`: {why}", output.name))
            })?;
            parts.push((output.name.clone().into(), Secret::new(text)));
        }
        if parts.is_empty() {
            return Err(FetchError::malformed("`outputs`: all of them are absent"));
        }
        let (life, sent) = self.life(began, run)?;
        if !self.calls {
            for (at, lease) in &run.leases {
                if let Work::Link(linked) = &self.steps[*at].work {
                    linked.accept(lease);
                }
            }
        }
        Ok(Credential {
            parts,
            life,
            sent,
            refresh: None,
            scope: None,
            made_from: run.leases.iter().map(|(_, lease)| lease.clone()).collect(),
            until: None,
            issued_type: None,
        })
    }

    fn life(&self, began: Instant, run: &Run) -> Result<(Option<Duration>, Instant), FetchError> {
        let expires = &self.expires;
        let mut told = Told {
            sent: began,
            wall: clock::unix_time(),
            date: None,
        };
        let mut life = match expires.default {
            Life::Ends(life) => Some(life),
            Life::Endless => None,
        };
        if expires.kind == ExpiryKind::None {
            life = None;
        } else if let Some((from, step)) = &expires.from
            && from.is_ready(&run.values)
        {
            told = step.and_then(|step| run.told[step]).unwrap_or(told);
            let text = from.render(&run.values);
            let found = match &text {
                Some(text) => expiry::life(expires.kind, text, told.date, told.wall),
                None => Err(FetchError::malformed("no such value")),
            };
            life = found.map_err(|error| error.at("`expires.from`"))?.or(life);
        }
        if let Some(max) = expires.max {
            life = Some(life.map_or(max, |life| life.min(max)));
        }
        if !self.calls {
            // What is only joined ends with the first of what it is made of.
            let ends = run.leases.iter().filter_map(|(_, lease)| lease.expires());
            if let Some(end) = ends.min() {
                let left = end.saturating_duration_since(told.sent);
                life = Some(life.map_or(left, |life| life.min(left)));
            }
        }
        Ok((life, told.sent))
    }
}

/// A text that can be a part of a credential: of bounded length, and fit for a header.
fn usable(text: &str) -> Result<&str, &'static str> {
    match text {
        "" => Err("it is empty"),
        _ if text.len() > LONGEST_PART => Err("it is longer than 16 KiB"),
        _ if text.trim() != text || !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) => {
            Err("it holds what can't stand in a header")
        }
        _ => Ok(text),
    }
}

/// The first that ends, taken out.
async fn first(running: &mut Vec<(usize, Running<'_>)>) -> (usize, Result<Outcome, FetchError>) {
    poll_fn(|cx| {
        for place in 0..running.len() {
            if let Poll::Ready(outcome) = running[place].1.as_mut().poll(cx) {
                let (at, _) = running.swap_remove(place);
                return Poll::Ready((at, outcome));
            }
        }
        Poll::Pending
    })
    .await
}
