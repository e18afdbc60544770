//! `allow:` of a route: who may use it, and that nobody else costs anything.

use crate::support::{TestProxy, TokenEndpoint, Upstream};

#[test]
fn a_route_takes_the_callers_that_it_allows_and_no_others() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let address = upstream.address();
    let proxy = TestProxy::start(&format!(
        "callers:\n  batch: {{ api_key: {{ header: X-Caller, key: batch-key }} }}\n  \
         web: {{ api_key: {{ header: X-Caller, key: web-key }} }}\n\
         credentials:\n  main:\n    client_credentials:\n      token_url: http://{}/token\n      client_id: tester\n      \
         client_secret: {{ env: SECRET }}\n\
         routes:\n\
         - {{ match: /batch/, upstream: 'http://{address}/', credential: main, allow: batch }}\n\
         - {{ match: /token/, upstream: 'http://{}/', credential: main, allow: batch, emulate: true }}\n\
         - {{ match: /both/, upstream: 'http://{address}/', allow: [web, batch] }}\n\
         - {{ match: /all/, upstream: 'http://{address}/' }}\n",
        tokens.address(),
        tokens.address(),
    ));
    let ask = |line: &str, fields: &str| {
        proxy.send(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{fields}\r\n"
        ))
    };
    let web = "X-Caller: web-key\r\n";
    for line in ["GET /batch/x", "POST /batch/x", "POST /token/token"] {
        let answer = ask(line, web);
        assert_eq!(
            (answer.status(), &*answer.code()),
            (403, "caller_denied"),
            "{line}"
        );
        for nobody in ["", "X-Caller: other-key\r\n"] {
            assert_eq!(ask(line, nobody).code(), "caller_unknown", "{line}");
        }
    }
    assert_eq!((tokens.calls(), upstream.count()), (0, 0));
    for path in ["/both/", "/all/"] {
        assert_eq!(ask(&format!("GET {path}"), web).status(), 200, "{path}");
    }
    let batch = "X-Caller: batch-key\r\n";
    for path in ["/batch/", "/both/", "/all/"] {
        assert_eq!(ask(&format!("GET {path}"), batch).status(), 200, "{path}");
    }
}
