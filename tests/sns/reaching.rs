//! How the built program reaches SNS: over HTTPS, to a host that proves its name, within limits, without redirects.

use crate::authority::{ISSUER_URL, UNDER_INTERMEDIATE};
use crate::http::post;
use crate::message::{CERTIFICATE_URL, Message};
use crate::program::Program;
use crate::proxy::Page;

#[test]
fn certificate_issuer_and_subscription_are_asked_for() {
    let Some(program) = Program::new() else { return };
    program.proxy.put(CERTIFICATE_URL, Page::Body(program.authority.pem(UNDER_INTERMEDIATE)));
    program.proxy.put(ISSUER_URL, Page::Body(program.authority.der("middle").to_vec()));
    let now = chrono::Utc::now();
    let confirmation = Message::confirmation("SubscriptionConfirmation", now).by(UNDER_INTERMEDIATE);
    let confirmation = confirmation.signed(program.authority);
    let subscribe = confirmation.fields["SubscribeURL"].as_str().unwrap();
    program.proxy.put(subscribe, Page::Body(b"<ConfirmSubscriptionResponse/>".to_vec()));
    let mut listening = program.start(&["listen"]);
    let address = listening.address();
    let (status, _) = post(address, confirmation.body().as_bytes());
    assert_eq!(status, 200, "{}", listening.log());
    let message = Message::landed("a.txt", now).by(UNDER_INTERMEDIATE).signed(program.authority);
    assert_eq!(post(address, message.body().as_bytes()).0, 200, "{}", listening.log());
    assert_eq!(program.proxy.asked(), [CERTIFICATE_URL, ISSUER_URL, subscribe]);
    let log = listening.log();
    assert!(log.contains("is confirmed") && !log.contains(crate::message::TOKEN), "{log}");
}

/// Each is our trouble and not the message's: 503, and it comes again. SNS waits 15 seconds; a request is given up as a whole
/// before that, and here that was not even needed.
#[track_caller]
fn unavailable(program: &Program, why: &str) {
    let mut listening = program.start(&["listen"]);
    let address = listening.address();
    let (status, _) = post(address, program.landed("a.txt").body().as_bytes());
    assert_eq!(status, 503, "{}", listening.log());
    let log = listening.log();
    assert!(log.contains("certificate_unavailable") && log.contains(why), "{why}: {log}");
    assert!(!log.contains("it took too long"), "{log}");
    assert!(program.store().notifications_for_key("a.txt").unwrap().is_empty());
}

#[test]
fn a_redirect_is_not_followed() {
    let Some(program) = Program::new() else { return };
    let elsewhere = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-00000000000000000000.pem";
    program.proxy.put(elsewhere, Page::Body(program.authority.pem(crate::authority::SNS)));
    program.proxy.put(CERTIFICATE_URL, Page::Redirect(elsewhere.to_owned()));
    unavailable(&program, "answered 302");
    assert_eq!(program.proxy.asked(), [CERTIFICATE_URL]);
}

#[test]
fn an_answer_that_is_too_large_is_not_read() {
    let Some(program) = Program::new() else { return };
    program.proxy.put(CERTIFICATE_URL, Page::Body(vec![b'x'; 10 << 20]));
    unavailable(&program, "more than 65536 bytes");
}

#[test]
fn an_answer_that_does_not_come_is_given_up() {
    let Some(program) = Program::new() else { return };
    program.proxy.put(CERTIFICATE_URL, Page::Silent);
    unavailable(&program, "timeout");
}

#[test]
fn a_host_that_cannot_prove_its_name_is_not_believed() {
    let Some(program) = Program::facing("impostor") else { return };
    unavailable(&program, "certificate");
    assert!(program.proxy.asked().is_empty(), "nothing was asked of it");
    let Some(program) = Program::facing("other") else { return };
    unavailable(&program, "certificate");
}
