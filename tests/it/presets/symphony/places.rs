//! Where pod, agent and key manager are, and what each gets.

use super::{LOGIN, Pod, RELAY, bot};
use crate::{
    presets::{Key, asked, json, only, proxy},
    support::{TestProxy, Upstream, token},
};

/// Answers every login with the token of this number.
fn logins(name: &'static str, number: usize) -> Upstream {
    Upstream::start(move |exchange| {
        json(
            exchange,
            200,
            &format!(r#"{{"name":"{name}","token":"{}"}}"#, token(number)),
        );
    })
}

/// A family's path is the whole one at the upstream: below a context, the route names the family itself.
#[test]
fn each_has_a_base_of_its_own_and_a_context_before_it() {
    let key = Key::new();
    let (pod, manager) = (logins("sessionToken", 1), logins("keyManagerToken", 2));
    let agent = Upstream::start(|exchange| json(exchange, 200, r#"{"version":"Agent-25.8.1"}"#));
    let at = |server: &Upstream| format!("http://{}", server.address());
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    preset: symphony\n    with: {{ pod_url: '{}/gate/way', key_manager_url: '{}/km/', agent_url: '{}/far', \
         username: robot, key: {{ file: {} }} }}\n\
         routes:\n  - {{ match: /, upstream: '{}/far/', credential: main.agent }}\n",
        at(&pod),
        at(&manager),
        at(&agent),
        key.file.path(),
        at(&agent)
    ));
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    assert_eq!(asked(&pod), [format!("POST /gate/way{LOGIN}")]);
    assert_eq!(asked(&manager), [format!("POST /km{RELAY}")]);
    let carried = only(&agent, "/far/agent/v4/x");
    assert_eq!(carried.headers("sessiontoken"), [token(1)]);
    assert_eq!(carried.headers("keymanagertoken"), [token(2)]);
}

#[test]
fn a_client_can_t_take_a_token_out_by_connection() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    let head = "GET /agent/v4/x HTTP/1.1\r\nHost: localhost\r\nConnection: sessionToken, KeyManagerToken\r\nSESSIONTOKEN: a\r\nSessionToken: b\r\n\r\n";
    assert_eq!(proxy.send(head).status(), 200);
    let carried = only(&vendor, "/agent/v4/x");
    assert_eq!(carried.headers("sessiontoken"), [token(1)]);
    assert_eq!(carried.headers("keymanagertoken"), [token(2)]);
}
