//! Subscriptions: confirmed at SNS's own address and nowhere else; the end of one is told and never undone.

use sluicegate::effects::SUBSCRIPTION_CONFIRM;

use crate::message::{CERTIFICATE_URL, Message, TOKEN, TOPIC};
use crate::world::World;

const KIND: &str = "SubscriptionConfirmation";

fn confirmation(world: &World) -> Message {
    Message::confirmation(KIND, world.now())
}

fn url(message: &Message) -> String {
    message.fields["SubscribeURL"].as_str().unwrap().to_owned()
}

#[test]
fn a_subscription_is_confirmed() {
    let Some(world) = World::new() else { return };
    for version in ["1", "2"] {
        let message = confirmation(&world).with("SignatureVersion", version).signed(world.authority);
        world.net.put(&url(&message), Ok(b"<ConfirmSubscriptionResponse/>".to_vec()));
        assert_eq!(world.post(&message).0, 200);
        assert_eq!(world.net.asked().last(), Some(&url(&message)));
    }
    world.assert_untouched();
}

#[test]
fn nothing_else_is_ever_visited() {
    let Some(world) = World::new() else { return };
    let good = url(&confirmation(&world));
    let urls = [
        good.replace("https:", "http:"),
        good.replace("eu-west-1.amazonaws", "us-east-1.amazonaws"),
        good.replace("sns.eu-west-1.amazonaws.com", "evil.example"),
        good.replace("sns.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com@evil.example"),
        good.replace("sns.eu-west-1.amazonaws.com", "169.254.169.254"),
        good.replace("ConfirmSubscription", "Unsubscribe"),
        good.replace(TOPIC, "arn:aws:sns:eu-west-1:123456789012:other"),
        good.replace(TOKEN, "other"),
        format!("{good}&Action=DeleteTopic"),
    ];
    for url in &urls {
        let message = confirmation(&world).with("SubscribeURL", url).signed(world.authority);
        assert_eq!(world.post(&message).0, 403, "{url}");
    }
    for field in ["SubscribeURL", "Token"] {
        assert_eq!(world.post(&confirmation(&world).without(field).signed(world.authority)).0, 403);
    }
    world.wait_refused("subscribe_url", urls.len() as u64 + 2);
    // A good address in a message that is not SNS's.
    let forged = confirmation(&world).signed(world.authority).with("MessageId", "other");
    assert_eq!(world.post(&forged).0, 403);
    assert_eq!(world.net.asked(), [CERTIFICATE_URL]);
    assert_eq!(world.meddler.count(SUBSCRIPTION_CONFIRM), 0);
}

#[test]
fn a_confirmation_that_fails_is_asked_for_again() {
    let Some(world) = World::new() else { return };
    let message = confirmation(&world).signed(world.authority);
    world.net.put(&url(&message), Err("answered 500".to_owned()));
    assert_eq!(world.post(&message).0, 503);
    world.wait_refused("unconfirmed", 1);
    world.net.put(&url(&message), Ok(Vec::new()));
    // It fails, and then its answer is lost; both times SNS sends the message again.
    for after in [false, true] {
        world.meddler.fail(SUBSCRIPTION_CONFIRM, after);
        assert_eq!(world.post(&message).0, 503, "after: {after}");
    }
    assert_eq!(world.post(&message).0, 200);
    world.wait_refused("unconfirmed", 3);
}

#[test]
fn the_end_of_a_subscription_is_told_and_nothing_is_visited() {
    let Some(world) = World::new() else { return };
    let message = Message::confirmation("UnsubscribeConfirmation", world.now()).signed(world.authority);
    world.net.put(&url(&message), Ok(Vec::new()));
    assert_eq!(world.post(&message).0, 200);
    world.wait_refused("unsubscribed", 1);
    assert_eq!(world.net.asked(), [CERTIFICATE_URL]);
    assert_eq!(world.post(&message.with("MessageId", "forged")).0, 403);
    world.assert_untouched();
}
