//! Tells systemd how the service stands, where it asks for that (sd_notify(3)).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use super::variable;

/// How the service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Clients are served.
    Ready,
    /// The configuration is being read again; [`State::Ready`] ends that.
    Reloading,
    /// It ends.
    Stopping,
}

/// Tells it. Nobody may be listening, and nothing depends on it.
pub(super) fn notify(state: State) {
    let Some(socket) = variable("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket, &message(state)) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

fn message(state: State) -> String {
    match state {
        State::Ready => "READY=1".into(),
        State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_micros()),
        State::Stopping => "STOPPING=1".into(),
    }
}

/// Of the clock that systemd looks at.
fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

fn send(socket: &str, message: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_a_socket_by_path_and_by_name() {
        let name = format!("bearerd-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).expect("a socket");
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("a socket");
        let path_text = path.to_str().expect("UTF-8").to_owned();
        for (receiver, socket) in [(by_path, path_text), (by_name, format!("@{name}"))] {
            send(&socket, &message(State::Reloading)).expect("it is sent");
            let mut buffer = [0; 100];
            let length = receiver.recv(&mut buffer).expect("it comes");
            let text = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
            assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
        }
        let _ = std::fs::remove_file(path);
    }
}
