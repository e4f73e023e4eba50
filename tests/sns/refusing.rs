//! What SNS did not sign for this topic changes nothing, and it is told why.

use chrono::TimeDelta;

use crate::authority::{ISSUER_URL, NO_RSA, OTHER_NAME, SELF_MADE, STRANGER, UNDER_INTERMEDIATE};
use crate::http::{post, post_with};
use crate::message::{CERTIFICATE_URL, Message, TOPIC};
use crate::world::World;

/// Posts; the answer must be `status` without a word about the reason, and the reason must be counted.
#[track_caller]
fn refused(world: &World, message: &Message, status: u16, reason: &str) {
    let (answered, text) = world.post(message);
    assert_eq!(answered, status, "{reason}: {}", message.body());
    assert!(["refused\n", "not now\n"].contains(&text.as_str()), "{text}");
    world.wait_refused(reason, 1);
    world.assert_untouched();
}

#[test]
fn a_forged_message() {
    let Some(world) = World::new() else { return };
    // Somebody else's key, and SNS's certificate.
    refused(
        &world,
        &Message::landed("a.txt", world.now()).by(STRANGER).signed(world.authority),
        403,
        "signature",
    );
    let unsigned = world.landed("a.txt");
    for signature in ["", "FAKE", "EXAMPLE==", "AAAA"] {
        assert_eq!(world.post(&unsigned.clone().with("Signature", signature)).0, 403);
    }
    // A signature of the other version.
    assert_eq!(world.post(&unsigned.clone().with("SignatureVersion", "1")).0, 403);
    world.wait_refused("signature", 6);
    refused(&world, &unsigned.with("SignatureVersion", "3"), 403, "signature_version");
}

#[test]
fn a_message_that_was_changed() {
    let Some(world) = World::new() else { return };
    let good = world.landed("a.txt");
    let changes: Vec<Message> = vec![
        good.clone().with("Message", &crate::message::event("b.txt")),
        good.clone().with("MessageId", "other"),
        good.clone().with("Subject", "other"),
        good.clone().without("Subject"),
        good.clone().with("Timestamp", "2026-01-01T00:00:00.000Z"),
    ];
    for message in &changes {
        assert_eq!(world.post(message).0, 403, "{}", message.body());
    }
    world.wait_refused("signature", changes.len() as u64);
    // The text to sign has no room for two readings: what was one field cannot become two.
    let shifted = good.with("Message", &format!("{}\nMessageId\nx", crate::message::event("a.txt")));
    assert_eq!(world.post(&shifted).0, 403);
    world.assert_untouched();
}

#[test]
fn a_topic_that_is_not_ours_comes_before_anything_is_fetched() {
    let Some(world) = World::new() else { return };
    for topic in ["arn:aws:sns:eu-west-1:123456789012:other", "arn:aws:sns:us-east-1:123456789012:landed", ""]
    {
        let message = Message::landed("a.txt", world.now()).with("TopicArn", topic).signed(world.authority);
        assert_eq!(world.post(&message).0, 403);
    }
    world.wait_refused("wrong_topic", 3);
    assert!(world.net.asked().is_empty(), "{:?}", world.net.asked());
    world.assert_untouched();
}

#[test]
fn no_certificate_from_anywhere_else_is_fetched() {
    let Some(world) = World::new() else { return };
    let file = "SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
    let urls = [
        format!("http://sns.eu-west-1.amazonaws.com/{file}"),
        format!("https://sns.us-east-1.amazonaws.com/{file}"),
        format!("https://evil.example/{file}"),
        format!("https://sns.eu-west-1.amazonaws.com.evil.example/{file}"),
        format!("https://sns.eu-west-1.amazonaws.com@evil.example/{file}"),
        format!("https://user:secret@sns.eu-west-1.amazonaws.com/{file}"),
        format!("https://sns.eu-west-1.amazonaws.com:8443/{file}"),
        format!("https://127.0.0.1/{file}"),
        "https://169.254.169.254/latest/meta-data/iam/security-credentials/".to_owned(),
        "https://sns.eu-west-1.amazonaws.com/?Action=Publish".to_owned(),
        "file:///etc/passwd".to_owned(),
        String::new(),
    ];
    for url in &urls {
        let message = Message::landed("a.txt", world.now()).with("SigningCertURL", url);
        assert_eq!(world.post(&message.signed(world.authority)).0, 403, "{url}");
    }
    world.wait_refused("certificate_url", urls.len() as u64);
    assert!(world.net.asked().is_empty(), "{:?}", world.net.asked());
    world.assert_untouched();
}

#[test]
fn a_certificate_that_is_not_snss() {
    for signer in [OTHER_NAME, STRANGER, SELF_MADE] {
        let Some(world) = World::new() else { return };
        world.sign_with(signer);
        let message = Message::landed("a.txt", world.now()).by(signer).signed(world.authority);
        refused(&world, &message, 403, "certificate");
    }
    let Some(world) = World::new() else { return };
    world.net.put(CERTIFICATE_URL, Ok(b"<html>no certificate</html>".to_vec()));
    refused(&world, &world.landed("a.txt"), 403, "certificate");
    let Some(world) = World::new() else { return };
    world.sign_with(NO_RSA);
    let message = Message::landed("a.txt", world.now()).by(NO_RSA).signed(world.authority);
    refused(&world, &message, 403, "signature");
}

/// SNS publishes its certificate alone: the one between it and the root comes from where the certificate says.
#[test]
fn a_chain_is_completed_and_never_believed_without_its_root() {
    let Some(world) = World::new() else { return };
    world.sign_with(UNDER_INTERMEDIATE);
    world.net.put(ISSUER_URL, Ok(world.authority.der("middle").to_vec()));
    let signed = |key: &str| Message::landed(key, world.now()).by(UNDER_INTERMEDIATE).signed(world.authority);
    assert_eq!(world.post(&signed("a.txt")).0, 200);
    assert_eq!(world.net.asked(), [CERTIFICATE_URL, ISSUER_URL]);
    assert_eq!(world.post(&signed("b.txt")).0, 200);
    assert_eq!(world.net.asked().len(), 2);

    for issuer in ["stranger", "host"] {
        let Some(world) = World::new() else { return };
        world.sign_with(UNDER_INTERMEDIATE);
        world.net.put(ISSUER_URL, Ok(world.authority.der(issuer).to_vec()));
        refused(&world, &signed("a.txt"), 403, "certificate");
    }
    // Where it cannot be had, nothing is decided: SNS comes again.
    let Some(world) = World::new() else { return };
    world.sign_with(UNDER_INTERMEDIATE);
    refused(&world, &signed("a.txt"), 503, "certificate_unavailable");
}

#[test]
fn a_file_that_holds_the_whole_chain_needs_nothing_else() {
    let Some(world) = World::new() else { return };
    let chain = [world.authority.pem(UNDER_INTERMEDIATE), world.authority.pem("middle")].concat();
    world.net.put(CERTIFICATE_URL, Ok(chain));
    let message = Message::landed("a.txt", world.now()).by(UNDER_INTERMEDIATE).signed(world.authority);
    assert_eq!(world.post(&message).0, 200);
    assert_eq!(world.net.asked(), [CERTIFICATE_URL]);
}

/// Also one that was good when it was fetched.
#[test]
fn an_expired_certificate() {
    for was_good_before in [false, true] {
        let Some(world) = World::new() else { return };
        if was_good_before {
            let test = Message::notification(r#"{"Event":"s3:TestEvent"}"#, world.now());
            assert_eq!(world.post(&test.signed(world.authority)).0, 200);
        }
        world.clock.advance(TimeDelta::days(3));
        let (status, _) = world.post(&world.landed("a.txt"));
        assert_eq!(status, 403, "{was_good_before}");
        world.wait_refused("certificate_expired", 1);
        assert_eq!(world.journaled("a.txt"), (0, 0));
    }
    // And one whose time has not come.
    let Some(world) = World::new() else { return };
    world.clock.advance(TimeDelta::days(-3));
    refused(&world, &world.landed("a.txt"), 403, "certificate");
}

#[test]
fn a_message_that_somebody_kept() {
    let Some(world) = World::new() else { return };
    let kept = world.landed("a.txt");
    world.clock.advance(TimeDelta::hours(25));
    refused(&world, &kept, 403, "stale");
    // One from the future says that our own clock is wrong: nothing is lost, SNS comes again.
    world.clock.advance(TimeDelta::hours(-25));
    let early = Message::landed("a.txt", world.now() + TimeDelta::hours(1)).signed(world.authority);
    refused(&world, &early, 503, "clock");
}

#[test]
fn raw_delivery_cannot_be_verified() {
    let Some(world) = World::new() else { return };
    let event = crate::message::event("a.txt");
    let headers = format!("x-amz-sns-rawdelivery: true\r\nx-amz-sns-topic-arn: {TOPIC}\r\n");
    assert_eq!(post_with(world.address, &headers, event.as_bytes()).unwrap().0, 403);
    world.wait_refused("raw_delivery", 1);
    assert_eq!(post(world.address, event.as_bytes()).0, 400);
    world.wait_refused("not_sns", 1);
    world.assert_untouched();
}

#[test]
fn what_is_no_message() {
    let Some(world) = World::new() else { return };
    let whole = world.landed("a.txt").body();
    for body in ["", "hello", "{", &whole[..whole.len() / 2], &whole[..whole.len() - 1]] {
        assert_eq!(post(world.address, body.as_bytes()).0, 400, "{body}");
    }
    world.wait_refused("not_json", 5);
    // Two topics in one message: whoever reads the first believes something else than whoever reads the last.
    let twice = whole.replacen('{', r#"{"TopicArn":"arn:aws:sns:eu-west-1:1:other","#, 1);
    assert_eq!(post(world.address, twice.as_bytes()).0, 400);
    world.wait_refused("not_sns", 1);
    world.assert_untouched();
}
