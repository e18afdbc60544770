//! Listeners that are unix sockets.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use bearerd::{downstream::Inherited, server};

use crate::support::{PATIENCE, TestProxy, Upstream, plain, until};

/// A name for a socket that nobody else has.
struct Name(PathBuf);

impl Name {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Not below the target folder: the path of a socket has to be short.
        let name = format!("bearerd-{}-{number}.sock", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn start(path: &Path, upstream: &Upstream, more: &str) -> TestProxy {
    let listen = format!("listen: unix:{}\n", path.display());
    TestProxy::start(&format!("{listen}{more}{}", plain(upstream)))
}

fn get(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn mine() -> (u32, u32) {
    let own = fs::metadata("/proc/self").unwrap();
    (own.uid(), own.gid())
}

#[test]
fn a_socket_is_there_for_its_owner_while_the_proxy_serves() {
    let (name, upstream) = (Name::new(), Upstream::ok());
    let forwarded = "defaults: { forwarded: x-forwarded }\n";
    let proxy = start(&name.0, &upstream, forwarded);
    for _ in 0..3 {
        assert!(get(&name.0).starts_with("HTTP/1.1 200 "));
    }
    let mode = fs::metadata(&name.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = &upstream.requests()[0];
    assert_eq!(told.header("x-forwarded-for"), None);
    drop(proxy);
    assert!(!name.0.exists());
}

#[test]
fn all_workers_serve_it_and_others_beside_it() {
    let (name, upstream) = (Name::new(), Upstream::ok());
    let listen = format!("listen: ['127.0.0.1:0', 'unix:{}']\n", name.0.display());
    let proxy = TestProxy::with_workers(3, &format!("{listen}{}", plain(&upstream)));
    for _ in 0..10 {
        assert!(get(&name.0).starts_with("HTTP/1.1 200 "));
        assert_eq!(proxy.get("/").status(), 200);
    }
}

#[test]
fn its_permissions_are_those_of_the_file() {
    let (name, upstream) = (Name::new(), Upstream::ok());
    let listen = format!(
        "listen: {{ address: 'unix:{}', mode: '0666' }}\n",
        name.0.display()
    );
    let _proxy = TestProxy::start(&format!("{listen}{}", plain(&upstream)));
    let mode = fs::metadata(&name.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
}

#[test]
fn a_stale_socket_is_replaced_and_anything_else_is_not() {
    let (name, upstream) = (Name::new(), Upstream::ok());
    drop(UnixListener::bind(&name.0).unwrap());
    let proxy = start(&name.0, &upstream, "");
    assert!(get(&name.0).starts_with("HTTP/1.1 200 "));
    let error = server::bind(&proxy.app.settings().listen, 1, proxy.app.inherited()).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(
        get(&name.0).starts_with("HTTP/1.1 200 "),
        "it is left alone"
    );

    let listen = proxy.app.settings().listen.clone();
    drop(proxy);
    fs::write(&name.0, "precious").unwrap();
    let error = server::bind(&listen, 1, &Inherited::default()).unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&name.0).unwrap(), "precious");
}

#[test]
fn what_has_taken_its_place_is_not_removed() {
    let (name, upstream) = (Name::new(), Upstream::ok());
    let first = start(&name.0, &upstream, "");
    fs::remove_file(&name.0).unwrap();
    let second = start(&name.0, &upstream, "");
    drop(first);
    assert!(get(&name.0).starts_with("HTTP/1.1 200 "));
    drop(second);
    assert!(!name.0.exists());
}

#[test]
fn a_caller_is_known_by_whom_it_runs_as() {
    let (name, upstream) = (Name::new(), Upstream::ok());
    let (uid, gid) = mine();
    for (peer, status) in [
        (format!("uid: {uid}"), 200),
        (format!("gid: {gid}"), 200),
        (format!("uid: {uid}, gid: {gid}"), 200),
        (format!("uid: {uid}, gid: {}", gid + 1), 401),
        (format!("uid: {}", uid + 1), 401),
    ] {
        let callers = format!("callers: {{ me: {{ unix_peer: {{ {peer} }} }} }}\n");
        let proxy = start(&name.0, &upstream, &callers);
        let answer = get(&name.0);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{peer}: {answer}"
        );
        drop(proxy);
        until("it is gone", || !name.0.exists());
    }
}

#[test]
fn a_request_in_flight_is_answered_whole_at_the_end() {
    let name = Name::new();
    let gate = crate::support::Gate::default();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            gate.pass();
            exchange.answer(200, "", "done");
        }
    });
    let proxy = start(&name.0, &upstream, "limits: { drain: 10s }\n");
    let path = name.0.clone();
    let client = std::thread::spawn(move || get(&path));
    until("it is under way", || upstream.count() == 1);
    proxy.shut_down();
    until("nobody new gets in", || {
        UnixStream::connect(&name.0).is_err()
    });
    gate.open();
    assert!(client.join().unwrap().ends_with("done"));
}
