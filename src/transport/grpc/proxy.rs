//! Through an HTTP proxy by CONNECT, for parties whose network lets nothing else out. TLS runs inside, so the proxy
//! sees names and sizes only.

use std::io;

use tacitly_core::text::printable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is read from a proxy.
const MAX_ANSWER: usize = 8 << 10;

/// Connects to `address` through `proxy`, given as `http://host:port`.
pub(super) async fn connect(proxy: &str, address: &str) -> io::Result<TcpStream> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let host = proxy.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let host = host.ok_or_else(|| invalid("the proxy is not given as `http://host:port`"))?;
    if address.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(invalid("the address holds white space"));
    }
    let through = |error: io::Error| io::Error::new(error.kind(), format!("through the proxy {host}: {error}"));
    let mut stream = TcpStream::connect(host).await.map_err(through)?;
    let request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(through)?;
    let mut answer = Vec::new();
    // One byte at a time: what follows the answer belongs to TLS.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MAX_ANSWER {
            return Err(through(io::Error::other("its answer has no end")));
        }
        answer.push(stream.read_u8().await.map_err(through)?);
    }
    let status = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = status.split(|byte| *byte == b' ');
    match (words.next(), words.next()) {
        (Some(b"HTTP/1.1" | b"HTTP/1.0"), Some([b'2', _, _])) => Ok(stream),
        _ => {
            let shown = printable(&String::from_utf8_lossy(status), 80);
            Err(through(io::Error::other(format!("it answered \"{shown}\""))))
        }
    }
}
