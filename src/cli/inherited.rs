//! Takes the sockets that systemd has opened: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, as sd_listen_fds(3) has them.

use std::{io, process};

use listenfd::ListenFd;
use socket2::Socket;

use super::{output::Failure, variable};
use crate::downstream::{Inherited, InheritedSocket};

/// Takes them, once and before there are other threads: the variables are removed, so that no child believes in them
/// (`LISTEN_FDNAMES` stays, and says nothing alone).
///
/// # Errors
/// What systemd passes is not what this program can listen on.
pub(super) fn take() -> Result<Inherited, Failure> {
    let Some(count) = variable("LISTEN_FDS") else {
        return Ok(Inherited::default());
    };
    if variable("LISTEN_PID").is_none_or(|pid| pid != process::id().to_string()) {
        // They are another process's.
        return Ok(Inherited::default());
    }
    let count = match count.parse() {
        Ok(count @ 0..=MOST) => count,
        // Bounded before anything is made of it.
        _ => return Err(refused(format!("LISTEN_FDS is no number up to {MOST}"))),
    };
    let mut passed = ListenFd::from_env();
    let names = names(&variable("LISTEN_FDNAMES").unwrap_or_default(), count)?;
    let take = |(at, name): (usize, String)| {
        let socket = socket(&mut passed, at).and_then(|it| InheritedSocket::new(name.clone(), it));
        socket.map_err(|error| {
            refused(format!("socket {} of systemd, `{name}`", at + 1)).because(&error)
        })
    };
    let sockets: Result<_, _> = names.into_iter().enumerate().map(take).collect();
    sockets.map(Inherited::new)
}

/// systemd names all or none; without names each is `unknown`.
fn names(text: &str, count: usize) -> Result<Vec<String>, Failure> {
    if text.is_empty() {
        return Ok(vec!["unknown".to_owned(); count]);
    }
    let names: Vec<_> = text.split(':').map(str::to_owned).collect();
    if names.len() == count {
        Ok(names)
    } else {
        let named = names.len();
        Err(refused(format!(
            "LISTEN_FDNAMES has {named} names for {count} sockets"
        )))
    }
}

/// Of either family; marked so that no child gets it.
fn socket(passed: &mut ListenFd, at: usize) -> io::Result<Socket> {
    let tcp = passed.take_tcp_listener(at);
    if let Ok(Some(socket)) = tcp {
        return Ok(socket.into());
    }
    match passed.take_unix_listener(at) {
        Ok(Some(socket)) => Ok(socket.into()),
        _ => {
            let text = "it is neither a TCP nor a unix stream socket";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

fn refused(what: String) -> Failure {
    Failure::failed(what)
        .hint("see `ListenStream=` and `FileDescriptorName=` of the units that name this service")
}

/// Sockets that are taken at most.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_many_as_sockets_or_none() {
        assert_eq!(names("", 2).ok(), Some(vec!["unknown".to_owned(); 2]));
        assert_eq!(names("a:b", 2).ok(), Some(vec!["a".into(), "b".into()]));
        assert!(names("a:b", 3).is_err());
        assert!(names("a:b", 1).is_err());
    }
}
