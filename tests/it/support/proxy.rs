//! The real proxy, in this process.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use bearerd::{
    app::{App, Origin, Reloaded, Variables},
    compile::LoadError,
    config::raw::ListenAddress,
    credentials::CredentialError,
    downstream::Inherited,
    server,
};
use tokio::{runtime::Runtime, sync::watch};

use super::{Answer, Client, SECRET, canary};

/// A proxy on a free port; dropped, it drains and ends.
pub struct TestProxy {
    pub app: App,
    address: SocketAddr,
    file: PathBuf,
    shutdown: watch::Sender<bool>,
    serving: Option<JoinHandle<Result<(), server::ServeError>>>,
}

impl TestProxy {
    /// Starts one with this configuration and one worker; `listen` and `limits` are added where they are
    /// missing, and `${SECRET}` is there.
    #[track_caller]
    pub fn start(yaml: &str) -> Self {
        Self::with_workers(1, yaml)
    }

    /// The same with more workers.
    #[track_caller]
    pub fn with_workers(workers: usize, yaml: &str) -> Self {
        canary::listen();
        let file = new_file();
        fs::write(&file, completed(yaml)).unwrap();
        let variables = HashMap::from([("SECRET", SECRET)]);
        let variables: Variables = Arc::new(move |name| variables.get(name).map(|it| (*it).into()));
        let inherited = Inherited::default();
        let origin = Origin::File(file.clone());
        let started = App::start(origin, variables, control().handle(), inherited);
        let (app, _) = started.unwrap_or_else(|error| panic!("{yaml}\n{}", text_of(&error)));
        let bound = server::bind(&app.settings().listen, workers, app.inherited()).unwrap();
        let mut addresses = bound.addresses().iter();
        let address = addresses
            .find_map(ListenAddress::tcp)
            .unwrap_or_else(super::closed_port);
        let (shutdown, ended) = watch::channel(false);
        let serving = thread::spawn({
            let app = app.clone();
            move || bound.serve(&app, &ended)
        });
        Self {
            app,
            address,
            file,
            shutdown,
            serving: Some(serving),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// The answer to these bytes on a connection of their own.
    #[track_caller]
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        self.connect().send(bytes).answer()
    }

    /// The answer to a plain GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The answer to a POST with this body.
    #[track_caller]
    pub fn post(&self, target: &str, body: &[u8]) -> Answer {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send([head.as_bytes(), body].concat())
    }

    /// Makes a token call for the credential `main` now, and waits for its outcome.
    pub fn renew(&self) -> Result<(), CredentialError> {
        let rotated = control().block_on(self.app.credentials().rotate("main"));
        let rotation = rotated.expect("a credential of this name");
        rotation.failure.map_or(Ok(()), Err)
    }

    /// Writes another configuration and applies it.
    pub fn reload(&self, yaml: &str) -> Result<Reloaded, LoadError> {
        fs::write(&self.file, completed(yaml)).unwrap();
        self.app.reload()
    }

    /// Tells it to end; requests in flight go on.
    pub fn shut_down(&self) {
        let _ = self.shutdown.send(true);
    }

    /// Sees to the end of its credentials, as the program does after its last request.
    pub fn finish(&self) {
        control().block_on(self.app.credentials().finish());
    }

    /// Whether all workers have ended.
    pub fn has_ended(&self) -> bool {
        self.serving.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.shut_down();
        let served = self.serving.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.file);
        if !thread::panicking() {
            served.unwrap().unwrap().unwrap();
            canary::check_log();
        }
    }
}

/// What is wrong with a file, as a person would read it.
pub fn text_of(error: &LoadError) -> String {
    format!("{error:?}")
}

fn completed(yaml: &str) -> String {
    let mut text = yaml.to_owned();
    for (key, line) in [
        ("listen:", "listen: 127.0.0.1:0\n"),
        ("limits:", "limits: { drain: 2s }\n"),
    ] {
        if !yaml.lines().any(|it| it.starts_with(key)) {
            text.insert_str(0, line);
        }
    }
    text
}

fn new_file() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{}-{number}.yaml", std::process::id()))
}

/// Where token calls run, for all proxies of this process.
fn control() -> &'static Runtime {
    static CONTROL: OnceLock<Runtime> = OnceLock::new();
    CONTROL.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}
