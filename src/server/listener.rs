//! Sockets that accept: one for each worker, all on the same address.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{
    compile::Listener,
    config::raw::ListenAddress,
    downstream::{Inherited, InheritedAddress, InheritedSocket},
};

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct BindError {
    /// The address of the file.
    pub address: ListenAddress,
    /// What the system says.
    pub source: io::Error,
}

/// A listener's sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    /// What the address really is.
    pub(super) address: ListenAddress,
    /// One a worker.
    pub(super) sockets: Vec<Listening>,
    /// Of a unix socket.
    pub(super) file: Option<SocketFile>,
}

/// A socket that listens, not yet a runtime's.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// One socket a worker for `listener`, of each where systemd passes several; the kernel spreads connections over them.
///
/// # Errors
/// [`BindError`] where the address is in use or not ours.
pub(super) fn bind(
    listener: &Listener,
    workers: usize,
    inherited: &Inherited,
) -> Result<Vec<Sockets>, BindError> {
    let bound = match &listener.address {
        ListenAddress::Tcp(address) => bind_tcp(*address, workers).map(|it| vec![it]),
        ListenAddress::Unix(path) => bind_unix(path, listener.mode, workers).map(|it| vec![it]),
        ListenAddress::Systemd(name) => {
            let sockets = inherited.named(name);
            sockets.map(|socket| adopt(socket, workers)).collect()
        }
    };
    bound.map_err(|source| BindError {
        address: listener.address.clone(),
        source,
    })
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Sockets> {
    // With SO_REUSEPORT a second process of this user would get a share of our connections instead of an
    // error; an ordinary socket finds out first.
    let probe = socket(address, false)?;
    let address = match address.port() {
        0 => probe.local_addr()?.as_socket().unwrap_or(address),
        _ => address,
    };
    drop(probe);
    let sockets: io::Result<_> = (0..workers)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(Listening::Tcp(socket.into()))
        })
        .collect();
    Ok(Sockets {
        address: ListenAddress::Tcp(address),
        sockets: sockets?,
        file: None,
    })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// All workers accept from one socket: the kernel can't spread connections over several with one name.
fn bind_unix(path: &Path, mode: u32, workers: usize) -> io::Result<Sockets> {
    check_free(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Under a name that nobody knows until its permissions are right; the last step also replaces a stale socket.
    let mut unnamed = path.as_os_str().to_owned();
    unnamed.push(format!(".{}", std::process::id()));
    let unnamed = PathBuf::from(unnamed);
    let _ = fs::remove_file(&unnamed);
    socket.bind(&SockAddr::unix(&unnamed)?)?;
    let named = fs::set_permissions(&unnamed, fs::Permissions::from_mode(mode))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| fs::rename(&unnamed, path));
    if let Err(error) = named {
        let _ = fs::remove_file(&unnamed);
        return Err(error);
    }
    let file = SocketFile::of(path)?;
    let socket = std::os::unix::net::UnixListener::from(socket);
    Ok(Sockets {
        address: ListenAddress::Unix(path.to_owned()),
        sockets: shared(workers, || socket.try_clone().map(Listening::Unix))?,
        file: Some(file),
    })
}

/// All workers accept from the one socket that systemd has made. Its file is systemd's, too.
fn adopt(inherited: &InheritedSocket, workers: usize) -> io::Result<Sockets> {
    let socket = inherited.socket();
    let (address, sockets) = match inherited.address() {
        InheritedAddress::Tcp(address) => {
            let clone = || Ok(Listening::Tcp(socket.try_clone()?.into()));
            (ListenAddress::Tcp(*address), shared(workers, clone)?)
        }
        InheritedAddress::Unix(path) => {
            let clone = || Ok(Listening::Unix(socket.try_clone()?.into()));
            (ListenAddress::Unix(path.clone()), shared(workers, clone)?)
        }
    };
    Ok(Sockets {
        address,
        sockets,
        file: None,
    })
}

fn shared(workers: usize, clone: impl Fn() -> io::Result<Listening>) -> io::Result<Vec<Listening>> {
    (0..workers).map(|_| clone()).collect()
}

/// A socket that somebody serves, and any other file, is left alone.
fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            let text = "there is a file of this name, and it is no socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a unix socket; removed when dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: fs::Metadata| found.dev() == self.device && found.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

const BACKLOG: i32 = 4096;
