//! A network of the test's own for the built program: a proxy that answers for SNS's hosts itself, over TLS where they are
//! asked over TLS. The program is told of it by `HTTPS_PROXY`, and of its authority by `SSL_CERT_FILE`, as it would be in
//! a company's network; none of its rules is softened for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::authority::Authority;

/// What is at an address.
#[derive(Clone)]
pub(crate) enum Page {
    Body(Vec<u8>),
    Redirect(String),
    /// Nothing is ever answered.
    Silent,
}

/// The proxy; its threads end with the test's process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Arc<ServerConfig>,
    pages: Mutex<BTreeMap<String, Page>>,
    asked: Mutex<Vec<String>>,
}

impl Proxy {
    /// Shows the certificate `name` to whoever asks over TLS.
    pub(crate) fn start(authority: &Authority, name: &str) -> Self {
        let key = std::fs::read(authority.path().join(format!("{name}.key"))).unwrap();
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![authority.der(name)], PrivateKeyDer::from_pem_slice(&key).unwrap())
                .unwrap();
        let shared =
            Arc::new(Shared { tls: Arc::new(tls), pages: Mutex::default(), asked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn put(&self, url: &str, page: Page) {
        self.shared.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    /// Every address that was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let first = head(&stream)?;
        let mut words = first.split(' ');
        let (method, target) =
            (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
        if method != "CONNECT" {
            return self.answer(&stream, &target);
        }
        (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        match target.rsplit_once(':') {
            Some((host, "443")) => {
                let connection = ServerConnection::new(self.tls.clone()).map_err(std::io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                let path = path(&head(&mut stream)?);
                self.answer(&mut stream, &format!("https://{host}{path}"))
            }
            Some((host, _)) => {
                let path = path(&head(&stream)?);
                self.answer(&stream, &format!("http://{host}{path}"))
            }
            None => Ok(()),
        }
    }

    fn answer(&self, mut stream: impl Write, url: &str) -> std::io::Result<()> {
        self.asked.lock().unwrap().push(url.to_owned());
        let page = self.pages.lock().unwrap().get(url).cloned();
        let answer = match page {
            Some(Page::Body(body)) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                [head.into_bytes(), body].concat()
            }
            Some(Page::Redirect(to)) => {
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
            }
            Some(Page::Silent) => {
                // Longer than anybody waits.
                std::thread::sleep(Duration::from_secs(25));
                return Ok(());
            }
            None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        stream.write_all(&answer)?;
        stream.flush()
    }
}

/// The first line of a request; the rest of its head is read and forgotten.
fn head(stream: impl Read) -> std::io::Result<String> {
    // One byte at a time: what follows the head belongs to somebody else.
    let mut reader = BufReader::with_capacity(1, stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim().is_empty() {
        line.clear();
    }
    Ok(first)
}

fn path(first: &str) -> String {
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}
