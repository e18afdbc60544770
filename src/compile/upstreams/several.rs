//! An upstream at several places: its targets, how requests are shared out among them, and how they are checked.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    config::{
        Decoder, Diagnostic, HttpUrl, Sp,
        raw::{self, RawHealth, RawUpstream, TargetAddress, TargetList},
    },
    routes::target,
    upstream::{
        Balance, HealthConfig, MAX_TARGETS, Targets, Upstream, UpstreamConfig, UpstreamError,
        Upstreams,
    },
};

/// The targets of one upstream.
pub(super) struct Several {
    /// Where each is; with the scheme of the upstream's URL.
    pub(super) places: Vec<HttpUrl>,
    balance: Balance,
    pub(super) health: Option<HealthConfig>,
    /// Whether what is sent to any of them stays on this machine.
    pub(super) are_local: bool,
}

/// `Some(None)` where the upstream is at one place, `None` where diagnostics say what is wrong.
pub(super) fn compile(raw: &RawUpstream, decoder: &mut Decoder) -> Option<Option<Several>> {
    let Some(targets) = &raw.targets else {
        if raw.failed.contains(&"targets") {
            return None;
        }
        let lone = [
            raw.balance.as_ref().map(|it| ("balance", it.span)),
            raw.health.as_ref().map(|it| ("health", it.span)),
        ];
        for (key, span) in lone.iter().flatten() {
            let error =
                Diagnostic::error(*span, format!("`{key}` means nothing without `targets`"));
            let example = "`targets: [app-1.internal:8080, app-2.internal:8080]`";
            decoder.push(error.hint(format!("add {example}, or remove `{key}`")));
        }
        return lone.iter().all(Option::is_none).then_some(None);
    };
    let elsewhere = [
        raw.socket.as_ref().map(|it| ("socket", it.span)),
        raw.proxy.as_ref().map(|it| ("proxy", it.span)),
    ];
    let mut good = true;
    for (key, span) in elsewhere.into_iter().flatten() {
        let error = Diagnostic::error(span, format!("`{key}` and `targets` don't go together"));
        let error = error.related(targets.span, "connections go here");
        decoder.push(error.hint(format!("remove `{key}` or `targets`")));
        good = false;
    }
    let places = places(raw, targets, decoder);
    let health = match &raw.health {
        None => None,
        Some(health) => Some(self::health(health, decoder)?),
    };
    if !good {
        return None;
    }
    Some(Some(Several {
        places: places?,
        balance: match raw.balance.as_ref().map(|it| it.value) {
            None | Some(raw::Balance::RoundRobin) => Balance::RoundRobin,
            Some(raw::Balance::LeastRequests) => Balance::LeastRequests,
        },
        health,
        are_local: targets.0.iter().all(|it| it.0.is_loopback()),
    }))
}

fn places(
    raw: &RawUpstream,
    targets: &Sp<TargetList>,
    decoder: &mut Decoder,
) -> Option<Vec<HttpUrl>> {
    if targets.0.len() > MAX_TARGETS {
        let message = format!("these are more than {MAX_TARGETS} targets");
        return decoder.fail(targets.span, message);
    }
    let mut places: Vec<Sp<HttpUrl>> = Vec::new();
    let mut good = true;
    for target in &targets.0 {
        let TargetAddress(url, https) = &target.value;
        if https.is_some_and(|https| https != raw.url.https) {
            let error = Diagnostic::error(target.span, "this target has another scheme than `url`");
            let error = error.related(raw.url.span, "which holds for all targets");
            decoder.push(error.hint("write its host and port alone"));
            good = false;
        }
        let place = HttpUrl {
            https: raw.url.https,
            port: url.port.or_else(|| Some(raw.url.port_or_default())),
            ..url.clone()
        };
        let same = |known: &&Sp<HttpUrl>| (&known.host, known.port) == (&place.host, place.port);
        if let Some(first) = places.iter().find(same) {
            let error = Diagnostic::error(target.span, "this target is there twice");
            let error = error.related(first.span, "the first one");
            decoder.push(error.hint("remove one of them"));
            good = false;
        }
        places.push(Sp::new(place, target.span));
    }
    good.then(|| places.into_iter().map(|place| place.value).collect())
}

fn health(raw: &Sp<RawHealth>, decoder: &mut Decoder) -> Option<HealthConfig> {
    let mut good = true;
    if target::check(&raw.path).is_err() {
        let error = Diagnostic::error(raw.path.span, "this path can't be asked for");
        decoder.push(error.hint("write it as it is sent, as in `/healthz`"));
        good = false;
    }
    for span in [&raw.every, &raw.timeout] {
        if span.value < Duration::from_millis(1) {
            let error = Diagnostic::error(span.span, "this takes some time");
            decoder.push(error.hint("write `5s`, for example"));
            good = false;
        }
    }
    let mut count = |number: &Sp<u64>| {
        let count = u32::try_from(number.value).ok().and_then(NonZeroU32::new);
        if count.is_none() {
            let error = Diagnostic::error(number.span, "this is no number of checks");
            decoder.push(error.hint("write 1 at least"));
        }
        count
    };
    let (healthy, unhealthy) = (count(&raw.healthy), count(&raw.unhealthy));
    let config = HealthConfig {
        path: raw.path.value.clone(),
        every: raw.every.value,
        timeout: raw.timeout.value,
        healthy: healthy?.get(),
        unhealthy: unhealthy?.get(),
    };
    good.then_some(config)
}

type Made = (Arc<Upstream>, Option<Arc<Targets>>);

impl Several {
    /// An upstream for each target: those of another configuration that are the same stay as they are.
    pub(super) fn intern(
        &self,
        config: &UpstreamConfig,
        known: &Upstreams,
    ) -> Result<Made, UpstreamError> {
        let upstream = |place: &HttpUrl| {
            known.intern(UpstreamConfig {
                target: Some((place.host.clone(), place.port_or_default())),
                ..config.clone()
            })
        };
        let all: Vec<_> = self.places.iter().map(upstream).collect::<Result<_, _>>()?;
        let first = Arc::clone(&all[0]);
        Ok((first, Some(Arc::new(Targets::new(all, self.balance)))))
    }
}
