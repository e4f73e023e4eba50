//! Whoever is slow, large or broken costs little, and keeps nobody else out for long.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::http::{answer, connect, post, post_with};
use crate::message::Message;
use crate::world::World;

#[test]
fn the_largest_message_of_sns_fits_and_more_does_not() {
    let Some(world) = World::new() else { return };
    // Each quote is escaped in the envelope.
    let large = format!("{{\"filler\": {:?}}}", "\"".repeat(128 << 10));
    assert!(large.len() >= 256 << 10);
    let message = Message::notification(&large, world.now()).signed(world.authority);
    assert!(message.body().len() > 512 << 10);
    assert_eq!(world.post(&message).0, 200);
    let larger = vec![b'x'; (1 << 20) + 1];
    assert_eq!(post(world.address, &larger).0, 413);
    // Also without an announced length.
    let mut stream = connect(world.address);
    stream.write_all(b"POST /sns HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..80 {
        stream.write_all(b"4000\r\n").unwrap();
        stream.write_all(&[b'x'; 0x4000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream).unwrap().0, 413);
    // What is announced as huge is not even read.
    let mut stream = connect(world.address);
    write!(stream, "POST /sns HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40).unwrap();
    assert_eq!(answer(&mut stream).unwrap().0, 413);
    world.wait_refused("too_large", 3);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let Some(world) = World::new() else { return };
    let long = format!("X-Long: {}\r\n", "x".repeat(64 << 10));
    assert_ne!(post_with(world.address, &long, b"{}").map_or(431, |(status, _)| status), 200);
    let many = "X-Many: x\r\n".repeat(200);
    assert_eq!(post_with(world.address, &many, b"{}").map_or(431, |(status, _)| status), 431);
    world.assert_untouched();
}

/// A body that stops half way is not ours to judge: 503, for the network may be at fault. SNS waits 15 seconds for it; the
/// best of some tries counts, for a machine may stand still now and then.
#[test]
fn a_body_that_does_not_come_is_given_up() {
    const TRIES: u64 = 3;
    let Some(world) = World::new() else { return };
    let body = world.landed("a.txt").body();
    let begin = || {
        let mut stream = connect(world.address);
        let head = format!("POST /sns HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body.as_bytes()[..body.len() / 2]).unwrap();
        stream
    };
    begin().shutdown(Shutdown::Both).unwrap();
    let stall = || {
        let began = Instant::now();
        assert_eq!(answer(&mut begin()).unwrap().0, 503);
        began.elapsed()
    };
    let slow = (0..TRIES).take_while(|_| stall() >= Duration::from_secs(12)).count() as u64;
    assert!(slow < TRIES, "{TRIES} senders were kept waiting");
    world.wait_refused("incomplete", slow + 2);
    world.assert_untouched();
}

/// More connections than there are places, all silent: whoever comes after them is served within seconds.
#[test]
fn silent_connections_keep_nobody_out() {
    let Some(world) = World::new() else { return };
    let mut silent: Vec<_> = (0..100).map(|_| connect(world.address)).collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"POST /sns HTTP/1.1\r\nHost: ").unwrap();
    }
    let began = Instant::now();
    assert_eq!(world.post(&world.landed("a.txt")).0, 200);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
