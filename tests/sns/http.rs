//! A client that can misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer: its status, and its text.
pub(crate) type Answer = (u16, String);

/// Whoever says nothing for so long has fallen silent.
const SILENCE: Duration = Duration::from_secs(60);

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.set_write_timeout(Some(SILENCE)).unwrap();
    stream
}

/// Posts as SNS does.
pub(crate) fn post(address: SocketAddr, body: &[u8]) -> Answer {
    post_with(address, "", body).expect("an answer")
}

/// The same with more header lines, each with its end; none where the connection ends without an answer.
pub(crate) fn post_with(address: SocketAddr, headers: &str, body: &[u8]) -> Option<Answer> {
    let head = format!(
        "POST /sns HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Amazon Simple Notification Service Agent\r\n\
         Content-Type: text/plain; charset=UTF-8\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let mut stream = connect(address);
    stream.write_all(head.as_bytes()).ok()?;
    // A server that has refused already may not read on to the end.
    let _ = stream.write_all(body);
    answer(&mut stream)
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    answer(&mut stream).expect("an answer")
}

/// Reads until the other side closes.
pub(crate) fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}
