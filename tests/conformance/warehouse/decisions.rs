//! What the ledger tells of its decisions: the present ones and all there ever were, page by page.

use sluicegate::ports::decisions::{Decision, DecisionQuery, hold_detail};
use sluicegate::ports::proof::Operation;
use sluicegate::ports::warehouse::{DocumentOutcome, Warehouse};

use super::batches::{Batch, Content, JOB, Member, batch, bill, bills, member, ready};
use super::{Bench, cases};

cases![
    present_decisions_come_page_by_page,
    history_keeps_what_a_replay_decided_otherwise,
    parents_and_replays_know_each_other,
    a_hold_lasts_until_its_release,
];

const TURNED_AWAY: [DocumentOutcome; 2] = [DocumentOutcome::Rejected, DocumentOutcome::Conflict];

fn query<'a>(after: Option<(&'a str, u32)>, limit: u32) -> DecisionQuery<'a> {
    DecisionQuery { job: JOB, outcomes: &TURNED_AWAY, since: None, history: false, after, limit }
}

fn decisions(warehouse: &mut dyn Warehouse, query: DecisionQuery<'_>) -> Vec<Decision> {
    warehouse.decisions().decided(&query).unwrap()
}

fn broken(key: &'static str) -> Member {
    member(key, Content::Broken(vec![], "a bad line"))
}

fn replay(number: u32, parent: &Batch, members: &[Member]) -> Batch {
    let mut batch = batch(number, members);
    batch.request.parents = vec![parent.id().to_owned()];
    batch.request.replay = 1;
    batch
}

fn present_decisions_come_page_by_page(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = batch(1, &[broken("a"), bills("good", &[bill("1", "1.00", &[])]), broken("b")]);
    let second = batch(2, &[bills("other", &[bill("1", "2.00", &[])])]);
    first.load(&mut *warehouse);
    second.load(&mut *warehouse);
    let all = decisions(&mut *warehouse, query(None, 100));
    let told: Vec<(&str, u32, &str)> =
        all.iter().map(|d| (d.key.as_str(), d.ordinal, d.outcome.as_str())).collect();
    assert_eq!(told, [("a", 0, "rejected"), ("b", 2, "rejected"), ("other", 0, "conflict")]);
    assert!(all[0].archived && all[0].reason.contains("a bad line"), "{:?}", all[0]);
    assert_eq!((all[0].landed_at.as_str(), all[0].size, all[0].replay), ("2024-05-06T09:00:00Z", 100, 0));
    let mut paged = Vec::new();
    let mut after: Option<(String, u32)> = None;
    loop {
        let page = decisions(&mut *warehouse, query(after.as_ref().map(|(b, o)| (b.as_str(), *o)), 1));
        let Some(last) = page.last() else { break };
        after = Some((last.batch_id.clone(), last.ordinal));
        paged.extend(page);
    }
    assert_eq!(paged, all);
    let later = DecisionQuery { since: Some("2999-01-01T00:00:00Z".parse().unwrap()), ..query(None, 9) };
    assert_eq!(decisions(&mut *warehouse, later), []);
    let stranger = DecisionQuery { job: "another", ..query(None, 9) };
    assert_eq!(decisions(&mut *warehouse, stranger), []);
}

fn history_keeps_what_a_replay_decided_otherwise(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = batch(1, &[broken("a")]);
    first.load(&mut *warehouse);
    replay(2, &first, &[bills("a", &[bill("1", "1.00", &[])])]).load(&mut *warehouse);
    assert_eq!(
        decisions(&mut *warehouse, query(None, 9)),
        [],
        "what was replayed well is no reject any more"
    );
    let history = decisions(&mut *warehouse, DecisionQuery { history: true, ..query(None, 9) });
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].batch_id.as_str(), history[0].outcome.as_str()), (first.id(), "rejected"));
}

fn parents_and_replays_know_each_other(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let first = batch(1, &[broken("a")]);
    let second = replay(2, &first, &[broken("a")]);
    first.load(&mut *warehouse);
    second.load(&mut *warehouse);
    assert_eq!(warehouse.decisions().replays_of(first.id()).unwrap(), [second.id()]);
    assert!(warehouse.decisions().replays_of(second.id()).unwrap().is_empty());
}

fn a_hold_lasts_until_its_release(bench: &dyn Bench) {
    let mut warehouse = ready(bench);
    let operate = |warehouse: &mut dyn Warehouse, detail: String| {
        let operation = Operation {
            operator: "ann@desk".to_owned(),
            at: String::new(),
            command: "sluicegate jobs hold".to_owned(),
            reason: "year end".to_owned(),
            detail,
        };
        warehouse.proof().record_operation(&operation).unwrap();
    };
    assert!(warehouse.decisions().holds().unwrap().is_empty());
    operate(&mut *warehouse, hold_detail(JOB, true).to_string());
    operate(&mut *warehouse, hold_detail("other", true).to_string());
    operate(&mut *warehouse, "{\"accept\":\"hold\"}".to_owned());
    operate(&mut *warehouse, hold_detail("other", false).to_string());
    let holds = warehouse.decisions().holds().unwrap();
    assert_eq!(holds.keys().collect::<Vec<_>>(), [JOB]);
    assert_eq!((holds[JOB].operator.as_str(), holds[JOB].reason.as_str()), ("ann@desk", "year end"));
    operate(&mut *warehouse, hold_detail(JOB, false).to_string());
    assert!(warehouse.decisions().holds().unwrap().is_empty());
}
