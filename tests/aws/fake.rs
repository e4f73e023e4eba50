//! An HTTP server of the tests' own: it answers as a test says, and can break off in the middle or swallow an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value)
    }
}

/// How to answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, headers and a body.
    Full(u16, Vec<(String, String)>, Vec<u8>),
    /// The same, but the connection ends after so many bytes of the body.
    Cut(u16, Vec<(String, String)>, Vec<u8>, usize),
    /// The connection ends without an answer.
    Nothing,
    /// The connection stays, and nothing is ever said on it.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Full(status, Vec::new(), Vec::new())
    }

    /// An error as S3 writes it.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>because</Message></Error>");
        Self::Full(status, vec![("x-amz-request-id".to_owned(), "R".to_owned())], body.into_bytes())
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server on a free port; it lives as long as the test process.
pub(crate) struct FakeServer {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl FakeServer {
    /// Answers every request by `answer`, one at a time, in the order in which they come.
    pub(crate) fn start(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let answer = Mutex::new(answer);
        Self::start_concurrent(move |request| (answer.lock().unwrap())(request))
    }

    /// Answers many requests at a time.
    pub(crate) fn start_concurrent(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_slow(usize::MAX, answer)
    }

    /// The same over a line on which each body takes a tenth of a second for so many bytes.
    pub(crate) fn start_slow(
        bytes: usize,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Answer> = Arc::new(answer);
        let requests = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, requests) = (answer.clone(), requests.clone());
                std::thread::spawn(move || serve(stream, &*answer, &requests, bytes));
            }
        });
        Self { endpoint, seen }
    }

    /// Method and target of every request until now.
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

/// Serves one connection until it ends.
fn serve(stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<Request>>, bytes_in_a_tenth: usize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader, bytes_in_a_tenth) {
        seen.lock().unwrap().push(request.clone());
        let reply = answer(&request);
        let is_head = request.method == "HEAD";
        let goes_on = match reply {
            Reply::Nothing => false,
            Reply::Silence => {
                // Until the other side has had enough of it.
                let _ = reader.read_to_end(&mut Vec::new());
                false
            }
            Reply::Full(status, headers, body) => {
                let sent = if is_head { 0 } else { body.len() };
                write_reply(&mut stream, status, &headers, &body, sent)
            }
            Reply::Cut(status, headers, body, sent) => {
                write_reply(&mut stream, status, &headers, &body, sent);
                false
            }
        };
        if !goes_on {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn write_reply(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    sent: usize,
) -> bool {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    let says_length =
        |name: &str| ["content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase());
    if !headers.iter().any(|(name, _)| says_length(name)) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&body[..sent]);
    stream.write_all(&bytes).and_then(|()| stream.flush()).is_ok()
}

fn read_request(reader: &mut BufReader<TcpStream>, bytes_in_a_tenth: usize) -> Option<Request> {
    let mut request = Request::default();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace();
    request.method = words.next()?.to_owned();
    request.target = words.next()?.to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => request.headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    if request.header("Expect").eq_ignore_ascii_case("100-continue") {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let length = request.header("Content-Length").parse().unwrap_or(0);
    request.body = vec![0; length];
    let last = length.saturating_sub(1) / bytes_in_a_tenth;
    for (number, piece) in request.body.chunks_mut(bytes_in_a_tenth).enumerate() {
        reader.read_exact(piece).ok()?;
        if number < last {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Some(request)
}

/// Passes a request on to another server and gives its answer; `Nothing` if there was none.
pub(crate) fn forward(endpoint: &str, request: &Request) -> Reply {
    forwarded(endpoint, request).unwrap_or(Reply::Nothing)
}

fn forwarded(endpoint: &str, request: &Request) -> Option<Reply> {
    let mut stream = TcpStream::connect(endpoint.strip_prefix("http://")?).ok()?;
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&request.body).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status: u16 = line.split_whitespace().nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body).ok()?;
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Connection"));
    Some(Reply::Full(status, headers, body))
}
