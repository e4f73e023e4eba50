//! In front of AWS: answers some of the requests with errors, or with nothing, before or after they had their effect.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::corpus::Random;

/// What can happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 500 and no effect.
    InternalError,
    /// 503 SlowDown and no effect.
    SlowDown,
    /// 400 with a throttling code where the service says so, else 503; no effect.
    Throttled,
    /// The connection ends before anything was done.
    Reset,
    /// It is done, and the connection ends without an answer.
    AnswerLost,
    /// It is done, and the connection ends in the middle of the answer.
    AnswerCut,
}

const FAULTS: [Fault; 6] = [
    Fault::InternalError,
    Fault::SlowDown,
    Fault::Throttled,
    Fault::Reset,
    Fault::AnswerLost,
    Fault::AnswerCut,
];

/// A proxy on a free port; it lives as long as the test process.
pub(crate) struct HttpProxy {
    pub(crate) endpoint: String,
    plan: Arc<Plan>,
}

struct Plan {
    upstream: String,
    /// One request in so many fails; none does with 0.
    one_in: u64,
    random: Mutex<Random>,
    /// How often each fault was met; under none, how often a request went through.
    met: Mutex<BTreeMap<Option<Fault>, u64>>,
}

impl Plan {
    fn decide(&self) -> Option<Fault> {
        let fault = {
            let mut random = self.random.lock().unwrap();
            (self.one_in > 0 && random.one_in(self.one_in)).then(|| *random.pick(&FAULTS))
        };
        *self.met.lock().unwrap().entry(fault).or_default() += 1;
        fault
    }
}

impl HttpProxy {
    pub(crate) fn start(upstream: &str, seed: u64, one_in: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream = upstream.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        let random = Mutex::new(Random::new(seed));
        let plan = Arc::new(Plan { upstream, one_in, random, met: Mutex::default() });
        let shared = plan.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let plan = shared.clone();
                std::thread::spawn(move || {
                    // One request a connection; whoever breaks off is no trouble of ours.
                    let _ = serve(&stream, &plan);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { endpoint, plan }
    }

    /// One that breaks nothing: it only lets hidden messages come again soon.
    pub(crate) fn faultless(upstream: &str) -> Self {
        Self::start(upstream, 0, 0)
    }

    /// How often each fault was met, and under none how often there was no fault.
    pub(crate) fn met(&self) -> BTreeMap<Option<Fault>, u64> {
        self.plan.met.lock().unwrap().clone()
    }
}

/// A request, ready to be passed on.
struct Request {
    is_head: bool,
    is_json: bool,
    bytes: Vec<u8>,
}

fn serve(stream: &TcpStream, plan: &Plan) -> std::io::Result<()> {
    let Some(request) = read_request(stream)? else { return Ok(()) };
    let fault = plan.decide();
    match fault {
        Some(Fault::Reset) => return Ok(()),
        Some(Fault::InternalError) => return refuse(stream, &request, 500, "InternalError"),
        Some(Fault::SlowDown) => return refuse(stream, &request, 503, "SlowDown"),
        Some(Fault::Throttled) if request.is_json => {
            return refuse(stream, &request, 400, "ThrottlingException");
        }
        Some(Fault::Throttled) => return refuse(stream, &request, 503, "ServiceUnavailable"),
        None | Some(Fault::AnswerLost | Fault::AnswerCut) => {}
    }
    let mut upstream = TcpStream::connect(&plan.upstream)?;
    upstream.write_all(&request.bytes)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    let mut stream = stream;
    match fault {
        Some(Fault::AnswerLost) => Ok(()),
        Some(_) => stream.write_all(&answer[..answer.len() / 2]),
        None => stream.write_all(&closing(&answer)),
    }
}

/// The answer with a header that says that the connection ends with it.
fn closing(answer: &[u8]) -> Vec<u8> {
    let first_line = answer.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    [&answer[..first_line], b"Connection: close\r\n", &answer[first_line..]].concat()
}

fn refuse(mut stream: &TcpStream, request: &Request, status: u16, code: &str) -> std::io::Result<()> {
    let (kind, body) = if request.is_json {
        ("application/x-amz-json-1.0", format!(r#"{{"__type":"{code}","message":"a fault of the test"}}"#))
    } else {
        (
            "application/xml",
            format!("<Error><Code>{code}</Code><Message>a fault of the test</Message></Error>"),
        )
    };
    let body = if request.is_head { "" } else { &body };
    write!(
        stream,
        "HTTP/1.1 {status} Fault\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The whole request; none where the connection ends before one.
fn read_request(mut stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let is_head = line.starts_with("HEAD ");
    let mut bytes = line.into_bytes();
    let (mut length, mut chunked, mut is_json, mut expects) = (0, false, false, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let lower = line.trim_end().to_ascii_lowercase();
        match lower.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("x-amz-target", _)) => is_json = true,
            Some(("expect", _)) => {
                expects = true;
                continue;
            }
            Some(("connection", _)) => continue,
            Some(_) => {}
            None => break,
        }
        bytes.extend(line.into_bytes());
    }
    bytes.extend(b"Connection: close\r\n\r\n");
    if expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if chunked {
        read_chunks(&mut reader, &mut bytes)?;
    } else {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        bytes.extend(hidden_for_five_seconds(body, is_json));
    }
    Ok(Some(Request { is_head, is_json, bytes }))
}

/// A message whose receipt was lost, be it with a process that was killed while it waited for messages, comes again after
/// its visibility timeout; a test does not wait a minute for that.
fn hidden_for_five_seconds(body: Vec<u8>, is_json: bool) -> Vec<u8> {
    if !is_json {
        return body;
    }
    let text = String::from_utf8(body).expect("JSON is UTF-8");
    text.replace("\"VisibilityTimeout\":30", "\"VisibilityTimeout\": 5").into_bytes()
}

fn read_chunks(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(std::io::Error::other)?;
        bytes.extend(line.into_bytes());
        // The chunk and its line end; after the last one, trailers up to an empty line.
        if size == 0 {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                bytes.extend(line.as_bytes());
                if line.trim_end().is_empty() {
                    return Ok(());
                }
            }
        }
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        bytes.extend(chunk);
    }
}
