//! The endpoint for SNS, killed while it confirms its subscription. SNS, which got no answer, asks again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use crate::deaths::{KILL_AT, Kills, TRACE, counted, moment, was_killed};
use crate::message::Message;
use crate::program::Program;
use crate::proxy::Page;

/// Both kills; none where there is no `openssl`.
pub(crate) fn kills() -> Option<&'static Kills> {
    static KILLS: OnceLock<Option<Kills>> = OnceLock::new();
    KILLS.get_or_init(|| {
        let mut kills = Kills::default();
        for after in [false, true] {
            kills.add(&confirmed(after)?);
        }
        Some(kills)
    });
    KILLS.get().and_then(Option::as_ref)
}

fn confirmed(after: bool) -> Option<Kills> {
    let mut program = Program::new()?;
    let trace = program.path("trace");
    program.set(TRACE, trace.to_str().unwrap());
    program.set(KILL_AT, &format!("subscription.confirm:1:{}", moment(after)));
    let confirmation = Message::confirmation("SubscriptionConfirmation", chrono::Utc::now());
    let confirmation = confirmation.signed(program.authority);
    let subscribe = confirmation.fields["SubscribeURL"].as_str().unwrap().to_owned();
    program.proxy.put(&subscribe, Page::Body(b"<ConfirmSubscriptionResponse/>".to_vec()));
    let asked = |program: &Program| program.proxy.asked().iter().filter(|url| **url == subscribe).count();

    let mut doomed = program.start(&["listen"]);
    let address = doomed.address();
    assert_eq!(post(address, &confirmation.body()), None, "a dead process answers nothing");
    let status = crate::support::until("it dies", || doomed.child.try_wait().unwrap());
    assert!(was_killed(status), "{}", doomed.log());
    assert_eq!(asked(&program), usize::from(after));

    program.set(KILL_AT, "");
    let mut listening = program.start(&["listen"]);
    let address = listening.address();
    assert_eq!(post(address, &confirmation.body()), Some(200), "{}", listening.log());
    assert_eq!(asked(&program), 1 + usize::from(after));
    assert_eq!(post(address, &program.landed("a.txt").body()), Some(200), "{}", listening.log());
    Some(Kills::traced(&trace))
}

/// The status of the answer, if one came.
pub(crate) fn post(address: SocketAddr, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /sns HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8(answer).ok()?.split(' ').nth(1)?.parse().ok()
}

#[test]
fn a_listener_is_killed_while_it_confirms() {
    let Some(kills) = kills() else { return };
    counted("kills-subscription", kills.count(), "kills of a listener that confirms its subscription");
    assert_eq!(kills.count(), 2);
}
