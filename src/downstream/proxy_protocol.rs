//! The PROXY protocol: who a client is, as the load balancer before us says (haproxy's proxy-protocol.txt, 1 and 2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The client, and where it connected to.
    For {
        /// The client.
        client: SocketAddr,
        /// The address that it meant.
        local: SocketAddr,
    },
    /// Nobody: the balancer speaks for itself, or of something that has no address.
    Itself,
}

/// Why a connection has no header that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyHeaderError {
    /// It begins with something else.
    #[error("it does not begin with a PROXY header")]
    Absent,
    /// It begins like one, and is none.
    #[error("its PROXY header is malformed")]
    Malformed,
    /// It ended before.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// Reads a header, and not a byte more: what follows is the client's.
///
/// # Errors
/// [`ProxyHeaderError`] where there is none.
pub async fn read_header<R: AsyncRead + Unpin>(io: &mut R) -> Result<Proxied, ProxyHeaderError> {
    // No header of either version is shorter.
    let mut start = [0; 12];
    io.read_exact(&mut start).await?;
    if start == SIGNATURE {
        second(io).await
    } else if start.starts_with(b"PROXY ") {
        first(io, &start).await
    } else {
        Err(ProxyHeaderError::Absent)
    }
}

/// Version 1: a line.
async fn first<R: AsyncRead + Unpin>(
    io: &mut R,
    start: &[u8],
) -> Result<Proxied, ProxyHeaderError> {
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(ProxyHeaderError::Malformed);
        }
        // One at a time: what follows the line is not ours, and can't be given back.
        line.push(io.read_u8().await?);
    }
    parse_line(&line[..line.len() - 2]).ok_or(ProxyHeaderError::Malformed)
}

fn parse_line(line: &[u8]) -> Option<Proxied> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Proxied::Itself);
    }
    let [client, local] = [words.next()?, words.next()?].map(|ip| ip.parse::<IpAddr>().ok());
    let [client_port, local_port] = [words.next()?, words.next()?].map(port);
    let (client, local) = (client?, local?);
    let alike = match family {
        "TCP4" => client.is_ipv4() && local.is_ipv4(),
        "TCP6" => client.is_ipv6() && local.is_ipv6(),
        _ => false,
    };
    (alike && words.next().is_none()).then_some(Proxied::For {
        client: (client, client_port?).into(),
        local: (local, local_port?).into(),
    })
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !text.starts_with('0');
    (plain && shortest).then(|| text.parse().ok()).flatten()
}

/// Version 2: a length, and addresses in binary.
async fn second<R: AsyncRead + Unpin>(io: &mut R) -> Result<Proxied, ProxyHeaderError> {
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_REST {
        return Err(ProxyHeaderError::Malformed);
    }
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await?;
    let told = match (command, family) {
        (LOCAL, _) => return Ok(Proxied::Itself),
        (PROXY, TCP4) => addresses::<4, _>(&rest, Ipv4Addr::from),
        (PROXY, TCP6) => addresses::<16, _>(&rest, Ipv6Addr::from),
        (PROXY, UNSPECIFIED) => Some(Proxied::Itself),
        _ => None,
    };
    told.ok_or(ProxyHeaderError::Malformed)
}

fn addresses<const N: usize, I: Into<IpAddr>>(
    rest: &[u8],
    ip: fn([u8; N]) -> I,
) -> Option<Proxied> {
    let (client, rest) = rest.split_first_chunk::<N>()?;
    let (local, rest) = rest.split_first_chunk::<N>()?;
    let (client_port, rest) = rest.split_first_chunk::<2>()?;
    // Behind the second port come extensions, of which none is needed.
    let (local_port, _) = rest.split_first_chunk::<2>()?;
    Some(Proxied::For {
        client: (ip(*client).into(), u16::from_be_bytes(*client_port)).into(),
        local: (ip(*local).into(), u16::from_be_bytes(*local_port)).into(),
    })
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Bytes of a header of version 1, its line end included.
const LONGEST_LINE: usize = 107;
/// Bytes of addresses and extensions in version 2 that are read at all.
const LONGEST_REST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header tells, and what is left behind it.
    async fn read(bytes: &[u8]) -> (Result<Proxied, ProxyHeaderError>, Vec<u8>) {
        let mut rest = bytes;
        let told = read_header(&mut rest).await;
        (told, rest.to_vec())
    }

    fn told(client: &str, local: &str) -> Proxied {
        Proxied::For {
            client: client.parse().expect("an address"),
            local: local.parse().expect("an address"),
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn a_line_is_read_and_nothing_behind_it() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n",
                told("192.0.2.1:4711", "198.51.100.2:443"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
                told("[2001:db8::1]:0", "[::1]:65535"),
            ),
            ("PROXY UNKNOWN\r\n", Proxied::Itself),
            ("PROXY UNKNOWN 192.0.2.1 what ever\r\n", Proxied::Itself),
        ] {
            let (read, rest) = read(format!("{line}GET /").as_bytes()).await;
            assert_eq!(read.expect(line), expected);
            assert_eq!(rest, b"GET /");
        }
    }

    #[tokio::test]
    async fn binary_addresses_are_read_and_nothing_behind_them() {
        let four = [
            &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 1, 187][..],
            &[4, 0, 1, 9],
        ]
        .concat();
        let six = [&[0; 15][..], &[1], &[0; 15], &[2], &[0, 80, 0, 81]].concat();
        for (header, expected) in [
            (
                v2(PROXY, TCP4, &four),
                told("192.0.2.1:4711", "198.51.100.2:443"),
            ),
            (v2(PROXY, TCP6, &six), told("[::1]:80", "[::2]:81")),
            (v2(PROXY, UNSPECIFIED, b""), Proxied::Itself),
            (v2(LOCAL, TCP4, &four), Proxied::Itself),
        ] {
            let (read, rest) = read(&[&header[..], b"GET /"].concat()).await;
            assert_eq!(read.expect("a header"), expected);
            assert_eq!(rest, b"GET /");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for header in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 5\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n\n\n\n\n\n\n",
            "PROXY ",
            &long,
        ] {
            assert!(read(header.as_bytes()).await.0.is_err(), "{header:?}");
        }
        for header in [
            v2(PROXY, TCP4, &[1; 11]),
            v2(PROXY, TCP6, &[1; 35]),
            v2(PROXY, 0x12, &[1; 12]),
            v2(0x22, TCP4, &[1; 12]),
            v2(0x11, TCP4, &[1; 12]),
            v2(PROXY, TCP4, &[1; 5000]),
        ] {
            assert!(read(&header).await.0.is_err(), "{header:?}");
        }
    }
}
