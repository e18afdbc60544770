use std::{path::PathBuf, time::Duration};

use super::{origin::Place, *};
use crate::credentials::{ClientAuth, Endpoint, EndpointSettings, Extras};

const HOUR: Duration = Duration::from_secs(3600);

fn exchange() -> TokenExchange {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let endpoint = Endpoint::new(&EndpointSettings::new("http://127.0.0.1:9/token")).unwrap();
    TokenExchange {
        call: TokenCall::new(endpoint, ClientAuth::Nobody, Extras::default()).unwrap(),
        subject: Origin {
            place: Place::File(Arc::new(Watched::new(PathBuf::from("/nonexistent")))),
            kind: urn("jwt"),
        },
        actor: None,
        bearer: None,
        requested: None,
        renew: Renew::Exchange,
        tokens_from: None,
    }
}

/// Of an hour, half an hour old; made of what ends so long from now.
fn expiring(ends_in: Option<Duration>) -> Credential {
    let now = clock::now();
    Credential {
        until: ends_in.map(|left| now + left),
        ..Credential::bearer(Secret::new("t"), Some(HOUR), now - HOUR / 2)
    }
}

fn is_exchanged(previous: &Credential, refused: bool) -> bool {
    let ask = Fetch {
        subject: &Subject::Own,
        previous: Some(previous),
        refused,
    };
    exchange().worth_exchanging(ask).is_some()
}

#[test]
fn the_expiring_token_is_exchanged_while_what_it_was_made_of_lives_on() {
    for ends_in in [None, Some(2 * HOUR)] {
        assert!(is_exchanged(&expiring(ends_in), false), "{ends_in:?}");
    }
    // Its successor would end at once: the chain begins anew, from what may have been renewed meanwhile.
    let soon = Some(HOUR / 4);
    assert!(!is_exchanged(&expiring(soon), false));
}

#[test]
fn a_token_that_was_refused_or_has_ended_is_not_exchanged() {
    assert!(!is_exchanged(&expiring(None), true));
    let ended = Credential {
        life: Some(HOUR / 4),
        ..expiring(None)
    };
    assert!(!is_exchanged(&ended, false));
}
