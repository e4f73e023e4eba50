//! Our own trouble: 503, so that SNS comes again, and nothing is lost.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sluicegate::effects::INBOX_ACKNOWLEDGE;
use sluicegate_state::effects::JOURNAL;

use crate::http::{answer, connect, get};
use crate::message::{CERTIFICATE_URL, Message};
use crate::world::{World, until};

#[test]
fn a_journal_that_fails_is_told_at_once_and_nothing_is_lost() {
    let Some(world) = World::new() else { return };
    let message = world.landed("a.txt");
    world.meddler.fail(JOURNAL, false);
    let began = Instant::now();
    assert_eq!(world.post(&message).0, 503);
    assert!(began.elapsed() < Duration::from_secs(5), "SNS need not wait: {:?}", began.elapsed());
    assert_eq!(world.journaled("a.txt"), (0, 0));
    assert_eq!(get(world.address, "/health").0, 503);
    until("SNS's next try is taken", || world.post(&message).0 == 200);
    assert_eq!(world.journaled("a.txt"), (1, 0));
    assert_eq!(get(world.address, "/health").0, 200);
    let refused = world.store().refusals().unwrap();
    assert!(refused.is_empty() || refused[0].reason == "not_journaled", "{refused:?}");
}

/// It is on disk, and nobody was told: the next try is a redelivery.
#[test]
fn an_answer_that_is_lost_makes_a_redelivery() {
    for effect in [JOURNAL, INBOX_ACKNOWLEDGE] {
        let Some(world) = World::new() else { return };
        let message = world.landed("a.txt");
        world.meddler.fail(effect, effect == JOURNAL);
        assert_eq!(world.post(&message).0, 503, "{effect}");
        until("SNS's next try is taken", || world.post(&message).0 == 200);
        assert_eq!(world.journaled("a.txt"), (1, 1), "{effect}");
    }
}

#[test]
fn a_certificate_that_cannot_be_had_is_tried_again_later() {
    let Some(world) = World::new() else { return };
    world.net.put(CERTIFICATE_URL, Err("connection refused".to_owned()));
    let message = world.landed("a.txt");
    for _ in 0..20 {
        assert_eq!(world.post(&message).0, 503);
    }
    assert_eq!(world.net.asked().len(), 1, "a flood makes no storm");
    world.assert_untouched();
    world.net.put(CERTIFICATE_URL, Ok(world.authority.pem(crate::authority::SNS)));
    until("it is asked for again", || world.post(&message).0 == 200);
    assert_eq!(world.journaled("a.txt"), (1, 0));
}

/// Whoever waits while the program ends is sent away and not left hanging; nothing is answered 200 that is not on disk.
#[test]
fn an_end_sends_away_who_waits() {
    let Some(mut world) = World::new() else { return };
    assert_eq!(world.post(&world.landed("first.txt")).0, 200);
    let messages: Vec<_> = (0..20).map(|number| world.landed(&format!("{number}.txt"))).collect();
    let (before, routed) = (world.meddler.count(JOURNAL), world.routed());
    world.meddler.hold(JOURNAL, false);
    let mut waiting = vec![send(&world, &messages[0])];
    until("the journal is at work", || world.meddler.count(JOURNAL) > before);
    waiting.extend(messages[1..].iter().map(|message| send(&world, message)));
    until("all wait for it", || world.routed() == routed + messages.len());
    // The end is asked for in the middle of a commit, and comes when whoever it covers knows of it.
    world.ask_to_stop();
    world.meddler.hold(INBOX_ACKNOWLEDGE, true);
    let first = answer(&mut waiting[0]).map(|(status, _)| status);
    assert_eq!(first, Some(200), "what is on disk is answered");
    world.meddler.release();
    world.stop();
    let rest = waiting.iter_mut().skip(1).map(|stream| answer(stream).map(|(status, _)| status));
    for (number, answer) in std::iter::once(first).chain(rest).enumerate() {
        let (journaled, _) = world.journaled(&format!("{number}.txt"));
        match answer {
            Some(200) => assert_eq!(journaled, 1, "{number} was answered 200"),
            Some(503) | None => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Posts a message, and leaves the answer to be read.
fn send(world: &World, message: &Message) -> TcpStream {
    let mut stream = connect(world.address);
    let body = message.body();
    let head = format!("POST /sns HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
    stream
}
