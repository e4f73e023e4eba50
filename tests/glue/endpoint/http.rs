//! Just enough of HTTP for the SDK: requests with a Content-Length, over connections that stay.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::Value;

/// Status and body of an answer; none where the connection breaks off.
type Reply = Option<(u16, Value)>;

/// Serves on a free port; its address. `answer` is given the operation and the body.
pub(super) fn serve(answer: impl Fn(&str, &[u8]) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || converse(&stream, &*answer));
        }
    });
    url
}

/// One connection until it ends.
fn converse(stream: &TcpStream, answer: &dyn Fn(&str, &[u8]) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some((operation, body)) = read_request(&mut reader) {
        let sent = match answer(&operation, &body) {
            Some((status, output)) => write_answer(stream, status, &output),
            None => false,
        };
        if !sent {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => operation = value.trim().trim_start_matches("AWSGlue.").to_owned(),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((operation, body))
}

fn write_answer(mut stream: &TcpStream, status: u16, output: &Value) -> bool {
    let body = output.to_string();
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/x-amz-json-1.1\r\nx-amzn-RequestId: R\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush()).is_ok()
}
