//! A server that does what a script says, byte by byte, and remembers what it was sent.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    Authority, Gate, PATIENCE, until,
    wire::{Message, Wire},
};

type Script = dyn Fn(&mut Exchange<'_>) + Send + Sync;

/// A server on a free port. Its connections have a thread each, and end when the other side ends them.
pub struct Upstream {
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    /// By their heads' order; none where the body is still on its way and the script waits for it.
    requests: Mutex<Vec<Option<Message>>>,
    connections: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    ended: AtomicUsize,
    stopped: AtomicBool,
}

/// One request, and the connection that it came by.
pub struct Exchange<'a> {
    /// Counts the requests of this server, from 0.
    pub number: usize,
    /// Counts its connections, from 0.
    pub connection: usize,
    /// What came so far.
    pub request: Message,
    log: &'a Log,
    wire: &'a mut Wire,
    tcp: &'a TcpStream,
    body_read: bool,
    open: bool,
}

impl Upstream {
    /// Answers every request with these bytes, once it has come whole.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |exchange| exchange.write(&bytes))
    }

    /// Answers every request with 200 and a short body.
    pub fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// The same once `gate` is open.
    pub fn held(gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::start(move |exchange| {
            gate.pass();
            exchange.answer(200, "", "ok");
        })
    }

    /// Calls `script` for each request that has come whole.
    pub fn start(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self::run(None, whole(script))
    }

    /// Calls `script` for each request whose head has come.
    pub fn at_head(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self::run(None, move |exchange| {
            exchange.list();
            script(exchange);
        })
    }

    /// As [`Self::start`], over TLS with a certificate of `authority` for `name`.
    pub fn over_tls(
        authority: &Authority,
        name: &str,
        script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(authority.server(name), script)
    }

    /// As [`Self::start`], over TLS as the configuration says.
    pub fn with_tls(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::run(Some(config), whole(script))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request that the script was called for: with its body, unless that is [`Self::at_head`].
    pub fn requests(&self) -> Vec<Message> {
        let requests = self.log.requests.lock().unwrap();
        requests.iter().flatten().cloned().collect()
    }

    /// The same, once there are `count` of them.
    #[track_caller]
    pub fn until_requests(&self, count: usize) -> Vec<Message> {
        until("so many requests have come whole", || {
            self.requests().len() >= count
        });
        self.requests()
    }

    /// How many requests have begun to come; the newest may not be among [`Self::requests`] yet.
    pub fn count(&self) -> usize {
        self.log.requests.lock().unwrap().len()
    }

    /// The only request.
    #[track_caller]
    pub fn request(&self) -> Message {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// The exact bytes of every connection, as far as they have come.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        let connections = self.log.connections.lock().unwrap();
        connections
            .iter()
            .map(|it| it.lock().unwrap().clone())
            .collect()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.log.connections.lock().unwrap().len()
    }

    /// Waits until `count` connections have ended.
    #[track_caller]
    pub fn until_ended(&self, count: usize) {
        until("connections have ended", || {
            self.log.ended.load(Ordering::SeqCst) >= count
        });
    }

    fn run(
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
    ) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if log.stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let (log, script, tls) = (Arc::clone(&log), Arc::clone(&script), tls.clone());
                    thread::spawn(move || {
                        serve(&log, &*script, tls, &stream);
                        log.ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Self { address, log }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.log.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// The script, once the body has come or broken off.
fn whole(
    script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
) -> impl Fn(&mut Exchange<'_>) + Send + Sync + 'static {
    move |exchange| {
        exchange.read_body();
        script(exchange);
    }
}

fn serve(log: &Log, script: &Script, tls: Option<Arc<rustls::ServerConfig>>, tcp: &TcpStream) {
    tcp.set_read_timeout(Some(3 * PATIENCE)).unwrap();
    tcp.set_nodelay(true).unwrap();
    let is_tls = tls.is_some();
    let socket = tcp.try_clone().unwrap();
    let mut wire = match tls {
        None => Wire::new(socket),
        Some(config) => {
            let session = rustls::ServerConnection::new(config).unwrap();
            Wire::new(rustls::StreamOwned::new(session, socket))
        }
    };
    let connection = {
        let mut connections = log.connections.lock().unwrap();
        connections.push(Arc::clone(wire.seen()));
        connections.len() - 1
    };
    while let Some(request) = wire.head() {
        let number = {
            let mut requests = log.requests.lock().unwrap();
            requests.push(None);
            requests.len() - 1
        };
        let mut exchange = Exchange {
            log,
            number,
            connection,
            request,
            wire: &mut wire,
            tcp,
            body_read: false,
            open: true,
        };
        script(&mut exchange);
        if exchange.open {
            exchange.read_body();
        }
        if !exchange.open {
            return;
        }
    }
    if is_tls {
        // What is left unread would make a reset of the end, and take the last alert with it.
        let _ = tcp.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut &*tcp, &mut std::io::sink());
    }
}

impl Exchange<'_> {
    /// Reads the request's body, where that was not done.
    pub fn read_body(&mut self) {
        if !self.body_read {
            self.body_read = true;
            let framing = self.request.framing();
            self.wire.body(&mut self.request, framing);
            // Before anything is answered: a test that has the answer looks at what came.
            self.list();
        }
    }

    fn list(&self) {
        self.log.requests.lock().unwrap()[self.number] = Some(self.request.clone());
    }

    /// Sends bytes; a proxy that has gone is no error.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.write(bytes.as_ref());
    }

    /// Sends bytes until the proxy does not take them.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).is_ok()
    }

    /// Answers with this status, and with more fields (each with its line end).
    pub fn answer(&mut self, status: u16, fields: &str, body: &str) {
        let length = body.len();
        self.write(format!(
            "HTTP/1.1 {status} Scripted\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// The next bytes behind the request, of whatever protocol; fewer where the connection ended first.
    pub fn receive(&mut self, length: usize) -> Vec<u8> {
        self.wire.bytes(length)
    }

    /// Everything that still comes until the proxy ends its side.
    pub fn rest(&mut self) -> Vec<u8> {
        self.open = false;
        self.wire.rest()
    }

    /// Ends this side; the proxy can still send.
    pub fn half_close(&mut self) {
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
    }

    /// Whether the proxy ends the connection; what it sends meanwhile is read and dropped.
    pub fn is_abandoned(&mut self) -> bool {
        while self.wire.fill() {}
        self.open = false;
        self.wire.ended.is_some()
    }

    /// Announces so many bytes, sends the first of them, and ends the connection.
    pub fn cut(&mut self, announced: usize, sent: &str) {
        self.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n{sent}"
        ));
        self.close();
    }

    /// Ends the connection in an orderly way.
    pub fn close(&mut self) {
        self.open = false;
        let _ = self.tcp.shutdown(std::net::Shutdown::Both);
    }

    /// Ends the connection with a reset.
    pub fn reset(&mut self) {
        self.open = false;
        let socket = socket2::SockRef::from(self.tcp);
        // The reset goes out when the last handle of the socket is dropped: at the script's end.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}
