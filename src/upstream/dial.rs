//! Opens the socket toward an upstream: a unix socket, one of its addresses, or a tunnel through a proxy.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    task::JoinSet,
    time::sleep,
};

use super::{SendError, Upstream};

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Opens one; where it has to go through a proxy and is to be `opaque` to that, by CONNECT.
pub(super) async fn dial(upstream: &Upstream, opaque: bool) -> Result<Socket, SendError> {
    let config = upstream.config();
    if let Some(path) = &config.socket {
        return match UnixStream::connect(path).await {
            Ok(unix) => Ok(Socket::Unix(unix)),
            Err(error) => Err(SendError::Refused(error)),
        };
    }
    let found = upstream.look_up().await.map_err(SendError::Resolve)?;
    let mut tcp = race(&found).await.map_err(SendError::Refused)?;
    set_options(&tcp);
    if let Some(proxy) = &config.proxy
        && opaque
    {
        proxy.connect(config, &mut tcp).await?;
    }
    Ok(Socket::Tcp(tcp))
}

/// The first of `addresses` that answers: each is given a head start before the next is tried as well (RFC 8305, 5).
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [address] = addresses {
        return TcpStream::connect(address).await;
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    // Dropped, it ends the attempts that have lost.
    let mut attempts = JoinSet::new();
    let mut rest = addresses.iter();
    loop {
        let next = rest.next();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(*address));
        }
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(HEAD_START), if !rest.as_slice().is_empty() => continue,
        };
        match ended {
            Some(Ok(Ok(tcp))) => return Ok(tcp),
            Some(Ok(Err(error))) => last = error,
            Some(Err(_)) => {}
            None if rest.as_slice().is_empty() => return Err(last),
            None => {}
        }
    }
}

fn set_options(tcp: &TcpStream) {
    // Heads and small bodies go out in one write each: nothing for Nagle to gather.
    let _ = tcp.set_nodelay(true);
    // Finds a dead peer also where HTTP has nothing to say for minutes.
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
}

impl Socket {
    /// Whom it is connected to, where that has an address.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Unix(unix) => Pin::new(unix).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
        }
    }
}

/// How long one address has before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// A connection on which nothing came for so long is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (std::net::TcpListener, SocketAddr) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    #[tokio::test]
    async fn an_address_that_refuses_makes_room_for_the_next_at_once() {
        let (_, closed) = listener();
        let (_open, address) = listener();
        let since = crate::clock::now();
        let tcp = race(&[closed, address]).await.expect("one is open");
        assert_eq!(tcp.peer_addr().expect("it is connected"), address);
        assert!(since.elapsed() < HEAD_START);
        assert!(race(&[closed, closed]).await.is_err());
        assert!(race(&[]).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_has_a_head_start_and_no_more() {
        // Its queue is full, so the kernel drops what comes.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        socket.listen(0).expect("it listens");
        let silent = socket
            .local_addr()
            .ok()
            .and_then(|it| it.as_socket())
            .expect("it is bound");
        let _first = TcpStream::connect(silent).await.expect("room for one");
        let (_open, address) = listener();
        let since = crate::clock::now();
        let tcp = race(&[silent, address]).await.expect("one answers");
        assert_eq!(tcp.peer_addr().expect("it is connected"), address);
        assert!(since.elapsed() >= HEAD_START && since.elapsed() < Duration::from_secs(2));
    }
}
