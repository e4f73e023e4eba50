//! What every inbox must do. The order of deliveries is left open.

use std::collections::BTreeSet;

use sluicegate::ports::inbox::{Delivery, Inbox};
use sluicegate_state::{Arrival, Notification};

/// How often an inbox may be asked before something must have come: queues answer with nothing now and then.
const MOST_POLLS: usize = 50;

/// A place where documents are announced, with nothing in it.
pub(crate) trait Postbox {
    /// An inbox, as a freshly started process has it. What it delivers is free for nobody else while a case lasts.
    fn inbox(&self) -> Box<dyn Inbox>;
    /// The same for a process that will die: what it delivers is free for others after [`pass_time`](Self::pass_time).
    fn inbox_of_the_dying(&self) -> Box<dyn Inbox> {
        self.inbox()
    }
    /// Lands a document of this key with these bytes, and announces it.
    fn announce(&self, key: &str, bytes: &[u8]);
    /// Lets so much time pass that an unacknowledged delivery is free for others.
    fn pass_time(&self);
    /// Whether everything that was delivered is gone for good, as far as the place itself can tell.
    fn is_empty(&self) -> bool {
        true
    }
}

/// Runs every case, each over a postbox of its own.
pub(crate) fn inbox_suite(make: &mut dyn FnMut() -> Box<dyn Postbox>) {
    let cases: [fn(&dyn Postbox); 6] = [
        without_announcements_nothing_comes,
        everything_announced_is_delivered,
        a_notification_says_what_was_announced,
        what_is_acknowledged_does_not_come_again,
        what_is_not_acknowledged_comes_to_another_process,
        an_overwritten_document_is_announced_anew,
    ];
    for case in cases {
        case(&*make());
    }
}

const KEYS: [&str; 5] = ["a.txt", "deep/er/b.txt", "with space+plus%.txt", "é'\".txt", "c.txt.gz"];

fn notifications(delivery: &Delivery) -> impl Iterator<Item = &Notification> {
    delivery.arrivals.iter().map(|arrival| match arrival {
        Arrival::Notification(notification) => notification,
        other => panic!("a document was announced, and this came: {other:?}"),
    })
}

/// Polls until each of `keys` has come.
fn await_keys(postbox: &dyn Postbox, inbox: &mut dyn Inbox, keys: &[&str]) -> Vec<Delivery> {
    let mut missing: BTreeSet<&str> = keys.iter().copied().collect();
    let mut deliveries = Vec::new();
    for _ in 0..MOST_POLLS {
        let came = inbox.poll().unwrap().deliveries;
        for notification in came.iter().flat_map(notifications) {
            missing.remove(notification.key.as_str());
        }
        if missing.is_empty() {
            deliveries.extend(came);
            return deliveries;
        }
        // The rest of what came in parts is there; time would only let the first part come again.
        if came.is_empty() {
            postbox.pass_time();
        }
        deliveries.extend(came);
    }
    panic!("{missing:?} were announced and never came");
}

fn acknowledge(inbox: &mut dyn Inbox, deliveries: &[Delivery]) {
    let receipts: Vec<String> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
    inbox.acknowledge(&receipts).unwrap();
}

/// That nothing comes, though the inbox is asked now and later.
fn assert_silent(postbox: &dyn Postbox, inbox: &mut dyn Inbox) {
    for _ in 0..3 {
        let poll = inbox.poll().unwrap();
        assert!(poll.deliveries.is_empty(), "{:?}", poll.deliveries);
        assert_eq!(poll.unsettled, 0);
        postbox.pass_time();
    }
    assert!(postbox.is_empty(), "something is kept back and would come later");
}

fn without_announcements_nothing_comes(postbox: &dyn Postbox) {
    assert_silent(postbox, &mut *postbox.inbox());
}

fn everything_announced_is_delivered(postbox: &dyn Postbox) {
    let mut inbox = postbox.inbox();
    for key in KEYS {
        postbox.announce(key, b"x");
    }
    let deliveries = await_keys(postbox, &mut *inbox, &KEYS);
    acknowledge(&mut *inbox, &deliveries);
    postbox.announce("later.txt", b"x");
    await_keys(postbox, &mut *inbox, &["later.txt"]);
}

fn a_notification_says_what_was_announced(postbox: &dyn Postbox) {
    let mut inbox = postbox.inbox();
    postbox.announce("a b/é+.txt", b"12345");
    let deliveries = await_keys(postbox, &mut *inbox, &["a b/é+.txt"]);
    let notification = notifications(&deliveries[0]).next().unwrap();
    assert_eq!((notification.job.as_str(), notification.size), ("invoices", Some(5)));
    let Notification { bucket, etag, event_name, source, .. } = notification;
    for text in [bucket, etag, event_name, source] {
        assert!(!text.is_empty(), "{notification:?}");
    }
    assert!(!etag.contains('"'), "an eTag is kept without its quotes");
}

fn what_is_acknowledged_does_not_come_again(postbox: &dyn Postbox) {
    let mut inbox = postbox.inbox();
    for key in KEYS {
        postbox.announce(key, b"x");
    }
    let deliveries = await_keys(postbox, &mut *inbox, &KEYS);
    acknowledge(&mut *inbox, &deliveries);
    assert_silent(postbox, &mut *inbox);
    // An answer was lost and the receipts are sent again: no harm.
    acknowledge(&mut *inbox, &deliveries);
    assert_silent(postbox, &mut *inbox);
}

fn what_is_not_acknowledged_comes_to_another_process(postbox: &dyn Postbox) {
    let mut died = postbox.inbox_of_the_dying();
    for key in KEYS {
        postbox.announce(key, b"x");
    }
    await_keys(postbox, &mut *died, &KEYS);
    drop(died);
    postbox.pass_time();
    let mut inbox = postbox.inbox();
    let deliveries = await_keys(postbox, &mut *inbox, &KEYS);
    acknowledge(&mut *inbox, &deliveries);
    assert_silent(postbox, &mut *inbox);
}

fn an_overwritten_document_is_announced_anew(postbox: &dyn Postbox) {
    let mut inbox = postbox.inbox();
    postbox.announce("a.txt", b"first");
    let first = await_keys(postbox, &mut *inbox, &["a.txt"]);
    acknowledge(&mut *inbox, &first);
    postbox.announce("a.txt", b"the second");
    let second = await_keys(postbox, &mut *inbox, &["a.txt"]);
    let identity = |deliveries: &[Delivery]| notifications(&deliveries[0]).next().unwrap().identity();
    assert_ne!(identity(&first), identity(&second));
}
