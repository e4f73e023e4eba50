//! The built program: when it listens, how it ends, and that what it answered 200 is on disk whatever kills it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::http::{answer, connect, post};
use crate::message::{Message, event};
use crate::program::Program;
use crate::world::until;

#[test]
fn refusals_are_shown_by_status() {
    let Some(program) = Program::new() else { return };
    for words in [&["listen"][..], &["run"]] {
        let mut listening = program.start(words);
        let address = listening.address();
        let key = format!("{}.txt", words[0]);
        let good = program.landed(&key);
        assert_eq!(post(address, good.body().as_bytes()).0, 200, "{}", listening.log());
        let changed = good.with("Message", &event("other.txt"));
        assert_eq!(post(address, changed.body().as_bytes()).0, 403);
        assert_eq!(program.store().notifications_for_key(&key).unwrap().len(), 1);
    }
    let mut listening = program.start(&["listen"]);
    let changed = program.landed("a.txt").with("Subject", "other");
    assert_eq!(post(listening.address(), changed.body().as_bytes()).0, 403);
    let status = || {
        let output = program.run(&["status", "--output", "json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    until("the refusal is shown", || status()["refused"]["sns"]["signature"].as_u64() >= Some(1));
    let text = String::from_utf8(program.run(&["status"]).stdout).unwrap();
    assert!(text.contains("refused by sns"), "{text}");
    assert!(listening.log().contains("it was forged or changed"), "{}", listening.log());
    listening.signal("TERM");
    until("it ends", || listening.child.try_wait().unwrap().is_some());
    assert_eq!(listening.child.try_wait().unwrap().and_then(|status| status.code()), Some(0));
    assert_eq!(
        last_ending(&program).as_deref(),
        Some("ended"),
        "it ended by itself, within its time for that"
    );
}

/// How the newest life ended: `ended` where it said farewell. A process that needs more time than a signal leaves to it is
/// gone without a word.
fn last_ending(program: &Program) -> Option<String> {
    let state = rusqlite::Connection::open(program.path("var/state.db")).unwrap();
    let sql = "SELECT ending FROM incarnation ORDER BY started_at DESC LIMIT 1";
    state.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn an_address_that_is_taken_is_told_and_a_drain_needs_none() {
    let Some(mut program) = Program::new() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    program.set("SLUICEGATE_SNS_LISTEN", &address);
    for words in [&["listen"][..], &["run"]] {
        let output = program.run(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("cannot listen for SNS on {address}")), "{told}");
        assert!(told.contains("another process listens there"), "{told}");
    }
    std::fs::create_dir_all(program.path("var/landing")).unwrap();
    program.set("SLUICEGATE_LANDING", "var/landing");
    let output = program.run(&["drain"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn the_service_manager_hears_of_it_once_it_listens() {
    let Some(mut program) = Program::new() else { return };
    let path = program.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    program.set("SLUICEGATE_SNS_LISTEN", &free.to_string());
    program.set("NOTIFY_SOCKET", &path.display().to_string());
    let listening = program.start(&["listen"]);
    let mut told = [0; 256];
    let length = socket.recv(&mut told).unwrap();
    assert!(String::from_utf8_lossy(&told[..length]).contains("READY=1"), "{}", listening.log());
    assert_eq!(post(free, program.landed("a.txt").body().as_bytes()).0, 200, "{}", listening.log());
}

/// I1, the hard way: whatever was answered 200 before a `kill -9` is in the journal, once.
#[test]
fn what_was_answered_outlives_a_kill() {
    let Some(program) = Program::new() else { return };
    let (number, mut answered) = (AtomicU64::new(0), Vec::new());
    for round in 0..6 {
        let mut listening = program.start(&["listen"]);
        let address = listening.address();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let posting: Vec<_> =
                (0..8).map(|_| scope.spawn(|| post_until_dead(&program, address, &number, &over))).collect();
            let before = number.load(Ordering::SeqCst);
            until("some are under way", || number.load(Ordering::SeqCst) >= before + 40 + 7 * round);
            listening.child.kill().unwrap();
            listening.child.wait().unwrap();
            over.store(true, Ordering::SeqCst);
            answered.extend(posting.into_iter().flat_map(|thread| thread.join().unwrap()));
        });
    }
    assert!(answered.len() >= 60, "{} of {} were answered", answered.len(), number.load(Ordering::SeqCst));
    let store = program.store();
    for key in &answered {
        assert_eq!(store.notifications_for_key(key).unwrap().len(), 1, "{key} was answered 200");
    }
    assert!(store.quick_check().unwrap().is_empty());
}

/// The keys that were answered 200.
fn post_until_dead(
    program: &Program,
    address: SocketAddr,
    number: &AtomicU64,
    over: &AtomicBool,
) -> Vec<String> {
    let mut answered = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let key = format!("{}.txt", number.fetch_add(1, Ordering::SeqCst));
        let body = Message::landed(&key, chrono::Utc::now()).signed(program.authority).body();
        let Ok(mut stream) = std::net::TcpStream::connect(address) else { break };
        let head = format!("POST /sns HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() {
            break;
        }
        match answer(&mut stream) {
            Some((200, _)) => answered.push(key),
            Some((status, text)) => panic!("{status} {text}"),
            None => break,
        }
    }
    answered
}

/// The endpoint of a program that was killed is one that was never there: a connection is refused, and SNS comes again.
#[test]
fn after_a_kill_the_same_address_is_free_at_once() {
    let Some(mut program) = Program::new() else { return };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    program.set("SLUICEGATE_SNS_LISTEN", &free.to_string());
    let message = program.landed("a.txt");
    for times in 1..=3 {
        let mut listening = program.start(&["listen"]);
        let address = listening.address();
        // A connection that is open at the kill keeps the address busy, where nothing was done about it.
        let _open = connect(address);
        assert_eq!(post(address, message.body().as_bytes()).0, 200);
        listening.child.kill().unwrap();
        listening.child.wait().unwrap();
        let [entry] = program.store().notifications_for_key("a.txt").unwrap().try_into().unwrap();
        assert_eq!(entry.redeliveries, times - 1);
    }
}
