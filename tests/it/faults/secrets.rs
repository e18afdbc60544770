//! A secret is changed while requests are under way: to one that works, to one that does not, and back.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use bearerd::{admin::Status, credentials::CredentialView};

use crate::support::{TestProxy, Upstream, token, until};

/// A token service with one client, whose secrets are a matter of the test.
struct Service {
    server: Upstream,
    takes: Arc<Mutex<BTreeSet<String>>>,
}

/// Secrets as every test's: searched for in all that is said and logged.
fn secret(name: &str) -> String {
    format!("kanarienvogel-secret-{name}")
}

impl Service {
    fn taking(names: &[&str]) -> Self {
        let takes: BTreeSet<String> = names.iter().map(|name| secret(name)).collect();
        let takes = Arc::new(Mutex::new(takes));
        let known = Arc::clone(&takes);
        let server = Upstream::start(move |exchange| {
            let sent = field(&exchange.request.body, "client_secret");
            let scope = field(&exchange.request.body, "scope");
            let json = "Content-Type: application/json\r\n";
            if !known.lock().unwrap().contains(&sent) {
                return exchange.answer(401, json, r#"{"error":"invalid_client"}"#);
            }
            let issued = format!("{}-{scope}", token(exchange.number + 1));
            let body =
                format!(r#"{{"access_token":"{issued}","token_type":"Bearer","expires_in":3600}}"#);
            exchange.answer(200, json, &body);
        });
        Self { server, takes }
    }

    fn take(&self, name: &str) {
        self.takes.lock().unwrap().insert(secret(name));
    }

    /// How often this secret was sent.
    fn asked_by(&self, name: &str) -> usize {
        let requests = self.server.requests();
        let sent = requests.iter().map(|it| field(&it.body, "client_secret"));
        sent.filter(|sent| *sent == secret(name)).count()
    }
}

fn field(body: &[u8], name: &str) -> String {
    form_urlencoded::parse(body)
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn yaml(service: &Service, upstream: &Upstream, secret: &str, scope: &str) -> String {
    format!(
        "credentials:\n  main:\n    client_credentials:\n      token_url: http://{}/token\n      client_id: tester\n      \
         client_auth: body\n      client_secret: {secret}\n      scope: {scope}\n\
         routes:\n  - {{ name: all, match: /, upstream: 'http://{}/', credential: main }}\n",
        service.server.address(),
        upstream.address()
    )
}

fn view(proxy: &TestProxy) -> CredentialView {
    let mut views = proxy.app.credentials().views();
    views.retain(|view| &*view.name == "main");
    assert_eq!(views.len(), 1, "{views:?}");
    views.remove(0)
}

fn is_refused(proxy: &TestProxy) -> bool {
    let successor = view(proxy).successor;
    successor.is_some_and(|successor| successor.refused)
}

/// Sends requests by three clients while `act` runs; all are answered by 200. How many there were.
fn under_load(proxy: &TestProxy, act: impl FnOnce(&AtomicUsize)) -> usize {
    let (ended, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    // The only one that waits.
    assert_eq!(proxy.get("/").status(), 200);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = proxy.connect();
                while !ended.load(SeqCst) {
                    client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    assert_eq!(client.answer().status(), 200);
                    served.fetch_add(1, SeqCst);
                }
            });
        }
        // Also where `act` panics: its scope waits for the clients.
        let _end = End(&ended);
        act(&served);
    });
    served.into_inner()
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn more_served(served: &AtomicUsize) {
    let before = served.load(SeqCst);
    until("requests are served meanwhile", || {
        served.load(SeqCst) > before + 10
    });
}

fn sent(upstream: &Upstream) -> BTreeSet<String> {
    let requests = upstream.requests();
    let bearers = requests.iter().map(|it| it.header("authorization"));
    bearers.map(|it| it.unwrap_or("none").to_owned()).collect()
}

fn bearer(number: usize) -> String {
    format!("Bearer {}-read", token(number))
}

#[test]
fn a_wrong_secret_fails_no_request_and_is_told() {
    let (service, upstream) = (Service::taking(&["old", "right"]), Upstream::ok());
    let proxy = TestProxy::start(&yaml(&service, &upstream, &secret("old"), "read"));
    let status = Status::new(
        proxy.app.metrics().clone(),
        proxy.app.credentials().clone(),
        Vec::new,
    );
    under_load(&proxy, |served| {
        more_served(served);
        proxy
            .reload(&yaml(&service, &upstream, &secret("wrong"), "read"))
            .unwrap();
        until("it is refused", || is_refused(&proxy));
        more_served(served);
        let metrics = proxy.app.metrics().encode();
        for line in [
            r#"bearerd_credential_verifications_total{credential="main",outcome="refused"} 1"#,
            r#"bearerd_credential_secret_refused{credential="main"} 1.0"#,
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        assert_eq!(sent(&upstream), [bearer(1)].into());

        proxy
            .reload(&yaml(&service, &upstream, &secret("right"), "read"))
            .unwrap();
        until("the right one is in use", || {
            sent(&upstream).contains(&bearer(3))
        });
    });
    assert_eq!(view(&proxy).counters.waits, 1, "the first request of all");
    let metrics = proxy.app.metrics().encode();
    assert!(metrics.contains(r#"bearerd_credential_secret_refused{credential="main"} 0.0"#));
    drop(status);
}

#[test]
fn a_right_secret_lets_no_request_wait() {
    let (service, upstream) = (Service::taking(&["old", "new"]), Upstream::ok());
    let proxy = TestProxy::start(&yaml(&service, &upstream, &secret("old"), "read"));
    under_load(&proxy, |served| {
        more_served(served);
        proxy
            .reload(&yaml(&service, &upstream, &secret("new"), "read"))
            .unwrap();
        until("the new one is in use", || {
            sent(&upstream).contains(&bearer(2))
        });
    });
    assert_eq!(view(&proxy).counters.waits, 1, "the first request of all");
    assert_eq!((service.asked_by("old"), service.asked_by("new")), (1, 1));
}

#[test]
fn after_a_change_of_scope_the_old_token_is_never_sent() {
    let (service, upstream) = (Service::taking(&["old"]), Upstream::ok());
    let proxy = TestProxy::start(&yaml(&service, &upstream, &secret("old"), "read"));
    assert_eq!(proxy.get("/").status(), 200);
    for number in 0..20 {
        let scope = if number % 2 == 0 { "write" } else { "read" };
        let before = upstream.count();
        proxy
            .reload(&yaml(&service, &upstream, &secret("old"), scope))
            .unwrap();
        assert_eq!(proxy.get("/").status(), 200);
        let requests = upstream.requests();
        let last = requests[before].header("authorization").unwrap();
        assert!(last.ends_with(scope), "{number}: {last}");
    }
}

#[test]
fn a_secret_file_that_changes_alone_is_tried_first() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("it-secret-file");
    fs::write(&file, secret("old")).unwrap();
    let (service, upstream) = (Service::taking(&["old"]), Upstream::ok());
    let written = format!("{{ file: '{}' }}", file.display());
    let proxy = TestProxy::start(&yaml(&service, &upstream, &written, "read"));
    assert_eq!(proxy.get("/").status(), 200);
    assert!(proxy.app.files().contains(&file), "it is followed");
    fs::write(&file, secret("new")).unwrap();
    // What the watch does, once it has seen the change.
    proxy.app.reload().unwrap();
    until("it is refused", || is_refused(&proxy));
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(sent(&upstream), [bearer(1)].into());
    service.take("new");
    fs::write(&file, secret("new") + "\n").unwrap();
    proxy.app.reload().unwrap();
    assert!(is_refused(&proxy), "the same secret waits for its next try");
    fs::write(&file, secret("newer")).unwrap();
    service.take("newer");
    proxy.app.reload().unwrap();
    until("the newest is in use", || view(&proxy).successor.is_none());
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(sent(&upstream), [bearer(1), bearer(3)].into());
}

#[test]
fn changes_without_rest_fail_no_request() {
    let (service, upstream) = (Service::taking(&["a", "b"]), Upstream::ok());
    let proxy = TestProxy::with_workers(2, &yaml(&service, &upstream, &secret("a"), "read"));
    let served = under_load(&proxy, |served| {
        more_served(served);
        for number in 0..60 {
            let name = ["b", "wrong", "a", "worse"][number % 4];
            proxy
                .reload(&yaml(&service, &upstream, &secret(name), "read"))
                .unwrap();
        }
        proxy
            .reload(&yaml(&service, &upstream, &secret("b"), "read"))
            .unwrap();
        until("the last one is in use", || {
            view(&proxy).successor.is_none()
        });
        more_served(served);
    });
    assert!(served > 100, "{served}");
    assert_eq!(view(&proxy).counters.waits, 1, "the first request of all");
    for bearer in sent(&upstream) {
        assert!(bearer.ends_with("-read"), "{bearer}");
    }
}

#[test]
fn a_chain_goes_on_while_the_secret_of_its_first_link_changes() {
    let (service, upstream) = (Service::taking(&["old", "new"]), Upstream::ok());
    let chain = |name: &str| {
        let base = yaml(&service, &upstream, &secret(name), "read");
        let exchange = format!(
            "  last:\n    token_exchange:\n      token_url: http://{}/token\n      client_id: tester\n      \
             client_auth: body\n      client_secret: {}\n      scope: last\n      subject: {{ credential: main }}\nroutes:\n",
            service.server.address(),
            secret("old")
        );
        base.replace(", credential: main }", ", credential: last }")
            .replace("routes:\n", &exchange)
    };
    let proxy = TestProxy::start(&chain("old"));
    under_load(&proxy, |served| {
        more_served(served);
        for name in ["wrong", "new"] {
            proxy.reload(&chain(name)).unwrap();
            more_served(served);
        }
        until("the link has its new secret", || {
            service.asked_by("new") == 1
        });
    });
    let last = format!("Bearer {}-last", token(2));
    assert_eq!(sent(&upstream), [last].into(), "made of the same account");
}
