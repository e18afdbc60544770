//! A wire between the proxy and somebody it talks to, which can be held, slowed down and cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use super::PATIENCE;

/// Passes every byte on, both ways, for as long as nothing else is said.
pub struct Relay {
    address: SocketAddr,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stalled: bool,
    delay: Duration,
    /// So many more bytes of answers pass, and then the connections end.
    left: Option<usize>,
    /// Every socket of a connection that is open.
    sockets: Vec<TcpStream>,
    ended: bool,
}

impl Relay {
    /// To whoever listens at `target`.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(Line::default());
        thread::spawn({
            let line = Arc::clone(&line);
            move || {
                for near in listener.incoming().map_while(Result::ok) {
                    let mut state = line.state.lock().unwrap();
                    if state.ended {
                        return;
                    }
                    let Ok(far) = TcpStream::connect(target) else {
                        continue;
                    };
                    for socket in [&near, &far] {
                        socket.set_nodelay(true).unwrap();
                        state.sockets.push(socket.try_clone().unwrap());
                    }
                    drop(state);
                    line.carry(near.try_clone().unwrap(), far.try_clone().unwrap(), false);
                    line.carry(far, near, true);
                }
            }
        });
        Self { address, line }
    }

    /// Where the proxy finds it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes from now on; connections stay open and can be made.
    pub fn stall(&self) {
        self.change(|state| state.stalled = true);
    }

    /// All passes again, and at once; what was held first.
    pub fn resume(&self) {
        self.change(|state| (state.stalled, state.delay) = (false, Duration::ZERO));
    }

    /// Each piece takes so much longer.
    pub fn delay(&self, by: Duration) {
        self.change(|state| state.delay = by);
    }

    /// Ends every connection that is open.
    pub fn cut(&self) {
        self.change(State::cut);
    }

    /// Of answers, `bytes` more pass; then every connection ends, and the next ones pass whole.
    pub fn cut_after(&self, bytes: usize) {
        self.change(|state| state.left = Some(bytes));
    }

    fn change(&self, what: impl FnOnce(&mut State)) {
        what(&mut self.line.state.lock().unwrap());
        self.line.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.change(|state| {
            state.ended = true;
            state.cut();
        });
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn cut(&mut self) {
        for socket in self.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Line {
    fn carry(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let line = Arc::clone(self);
        thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                let length = line.pass(length, answers);
                if to.write_all(&piece[..length]).is_err() || length == 0 {
                    break;
                }
                line.cut_where_due();
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }

    /// Waits as long as it must, and tells how much of a piece passes.
    fn pass(&self, length: usize, answers: bool) -> usize {
        let delay = self.state.lock().unwrap().delay;
        thread::sleep(delay);
        let state = self.state.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(state, 3 * PATIENCE, |state| state.stalled && !state.ended);
        let (mut state, _) = waited.unwrap();
        match &mut state.left {
            Some(left) if answers => {
                let length = length.min(*left);
                *left -= length;
                length
            }
            _ => length,
        }
    }

    fn cut_where_due(&self) {
        let mut state = self.state.lock().unwrap();
        if state.left == Some(0) {
            state.left = None;
            state.cut();
        }
    }
}
