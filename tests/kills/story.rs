//! What each effect is to the reader: what is on disk when the process is killed before it or after it, and what the next
//! process does. In the order in which a document meets them; then those of rarer occasions.
//!
//! The crash tests make docs/crash-safety.md of this and of their trace. The tests with real kills hold that the effect of
//! each line was met by a real kill, before and after, in the command that the line names, and that everything was there
//! once after the restart. What the three cells say of the time between is in words, which no test reads.

/// One effect.
pub(crate) struct Line {
    pub(crate) effect: &'static str,
    /// The command that is killed, and after a comma what leads there.
    pub(crate) command: &'static str,
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    pub(crate) restart: &'static str,
}

const fn line(
    effect: &'static str,
    command: &'static str,
    before: &'static str,
    after: &'static str,
    restart: &'static str,
) -> Line {
    Line { effect, command, before, after, restart }
}

/// What every drain meets on its way.
pub(crate) const ON_THE_WAY: &[Line] = &[
    line(
        "migrate.commit",
        "drain",
        "no journal, or the old one",
        "the journal's tables, empty",
        "the tables are made, or found; nothing else has happened yet",
    ),
    line(
        "incarnation.commit",
        "drain",
        "nothing of this process",
        "a note that this process lives; its file lock was freed by the kill",
        "a new process makes a note of its own, and sees by the lock that the old one is dead",
    ),
    line(
        "command.commit",
        "drain",
        "nothing of this command",
        "the command line, without an end",
        "the log notes that the command ended with its process, without an exit status",
    ),
    line(
        "ledger.migrate",
        "drain",
        "no ledger, or the old one",
        "the ledger's tables",
        "the tables are made in one transaction, or found",
    ),
    line(
        "target.create",
        "drain",
        "no table for the invoices",
        "the tables, empty",
        "the tables are made in one transaction, or compared and found right",
    ),
    line(
        "machine.heartbeat",
        "drain",
        "this process is unknown to other machines",
        "a sign of life that runs out after a minute",
        "the same state folder goes on at once; other machines wait for the minute",
    ),
    line(
        "journal.commit",
        "drain",
        "the document lies in the landing; where a queue tells of it, the message is still there",
        "the journal knows the document; a message is not acknowledged",
        "a message comes again and is counted as a redelivery, a folder is walked through again; one document stays one document",
    ),
    line(
        "inbox.acknowledge",
        "drain",
        "the journal knows the document; where a queue tells of it, the message is still there",
        "the journal knows the document; a message is gone",
        "the document is sealed; a message that comes again is a redelivery",
    ),
    line(
        "seal.commit",
        "drain",
        "the journal knows the document; it is in no batch",
        "a batch with fixed members and order",
        "the batch is sealed, once; a sealed one goes on as it is",
    ),
    line(
        "attempt.commit",
        "drain",
        "the batch, in the state that it had",
        "the same, and a note that somebody works on it",
        "the note is closed as a death, and the same step begins again; a death never parks a batch",
    ),
    line(
        "landing.get",
        "drain",
        "the sealed batch; nothing was read",
        "the same: what was read was only in memory",
        "the originals are read again, just the versions that were announced",
    ),
    line(
        "archive.put",
        "drain",
        "the sealed batch; no archive object",
        "the archive object with the originals; the journal does not know of it yet",
        "the archive is looked for first: if it is there it is taken, and the landing is not read again",
    ),
    line(
        "transition.commit",
        "drain",
        "the work of the stage is done, and the batch still has its old state",
        "the batch has its new state",
        "the stage finds its own work and only moves the batch; or the next stage goes on",
    ),
    line(
        "warehouse.commit",
        "drain",
        "nothing of the batch in the warehouse: no row, no verdict",
        "all rows, verdicts and control totals of the batch",
        "the load begins by inserting the batch's key: where the key is known everything is there, and nothing is loaded twice",
    ),
    line(
        "meta.commit",
        "drain",
        "the load is in the warehouse; the state folder does not remember it as its newest",
        "the state folder remembers the newest load",
        "the load is found in the ledger and remembered",
    ),
    line(
        "curated.put",
        "drain",
        "the rows are in the warehouse; the CSV object is not there, and no half of it either",
        "the CSV object is there, whole",
        "what is missing is made again from archive and ledger, byte for byte; what is there stays",
    ),
    line(
        "published.commit",
        "drain",
        "rows and CSV objects are there; the ledger does not call the batch published",
        "the ledger calls the batch published",
        "the CSV objects are found, and the ledger is told; a second time changes nothing",
    ),
    line(
        "crawl.claim",
        "drain --crawl",
        "the window's batches belong to no crawl",
        "the crawl's row in the ledger, with the batches that it has to cover",
        "the crawl is claimed once for a window; whoever restarts goes on with that row",
    ),
    line(
        "crawl.attempt",
        "drain --crawl",
        "the claimed crawl; nothing was started",
        "a note that a start is about to happen",
        "the catalog is asked what it has seen before anything is started again",
    ),
    line(
        "crawl.start",
        "drain --crawl",
        "a note about a start that did not happen",
        "the crawl runs; the ledger does not know its name",
        "a crawl that began late enough to cover everything is taken; only if there is none another is started",
    ),
    line(
        "crawl.seen",
        "drain --crawl",
        "the crawl runs; the ledger does not know its name",
        "the ledger knows which of the catalog's crawls it follows",
        "the crawl is found again and followed to its end",
    ),
    line(
        "crawl.renew",
        "drain --crawl",
        "the claim, which runs out after a minute",
        "the claim, for a minute more",
        "the same state folder goes on at once; another machine after the minute",
    ),
    line(
        "crawl.finish",
        "drain --crawl",
        "the crawl has ended; the ledger says that it runs",
        "the ledger says how the crawl ended",
        "the catalog tells again how it ended; the window is covered once",
    ),
    line(
        "machine.farewell",
        "drain",
        "all work is done; other machines take this process for alive",
        "the sign of life is gone",
        "nothing is left to do; a forgotten sign of life runs out",
    ),
    line(
        "incarnation_ended.commit",
        "drain",
        "all work is done; the note says that the process lives",
        "the note says that it ended well",
        "nothing is left to do; a process that could not say farewell counts as a dead one",
    ),
    line(
        "command_ended.commit",
        "drain",
        "all work is done; the command has no end in the log",
        "the command's end is in the log",
        "nothing is left to do",
    ),
];

/// What happens on rarer occasions: after a death, a failure or a loss, or in other commands.
pub(crate) const RARER: &[Line] = &[
    line(
        "bury.commit",
        "drain, after a kill",
        "the notes of the dead process are open",
        "its attempts are closed, as deaths",
        "the dead are buried once; the batches that they held go on",
    ),
    line(
        "attempt_failed.commit",
        "drain, while a service fails",
        "an attempt that has failed, and nobody has noted it",
        "the failure and the time of the next try",
        "an attempt without an end counts as a death, and is made again",
    ),
    line(
        "adopt.commit",
        "drain, after the state folder was lost",
        "the archive or the ledger holds a batch that this state does not know",
        "the state knows the batch and how far it came",
        "the batch is taken in, once, and goes on from where it was",
    ),
    line(
        "listing.claim",
        "drain, with a landing bucket",
        "nobody lists the landing this hour",
        "the turn of this hour is taken",
        "a lost turn comes again in an hour; a lost state looks at everything anyway",
    ),
    line(
        "proof.commit",
        "reconcile",
        "the proof was worked out and is not recorded",
        "the proof is in the ledger",
        "the proof is made again, as a new revision where anything differs",
    ),
    line(
        "report.put",
        "reconcile",
        "the proof, and no report beside the CSV objects",
        "the report, or a part of it",
        "the next proof writes a report of its own",
    ),
    line(
        "report.write",
        "reconcile",
        "the proof, and no report in the state folder",
        "the report, or a part of it",
        "the next proof writes a report of its own",
    ),
    line(
        "query.run",
        "query",
        "nothing was asked",
        "Athena has answered into its bucket, and nobody has read it",
        "the statement, which only reads, is run again",
    ),
    line(
        "query.stop",
        "query, when it is stopped",
        "the statement runs in Athena, and nobody waits for it",
        "Athena stops the statement",
        "a statement that was not stopped goes on to its own end: it only reads, but it is paid for",
    ),
    line(
        "inbox.give_back",
        "drain, and so listen, at an end that came before the journal",
        "messages that were taken and not journaled are hidden in the queue",
        "the queue hands them out again",
        "what is hidden shows again when its visibility timeout has passed; a drain waits for that",
    ),
    line(
        "catalog.define",
        "catalog --apply",
        "a table, view or crawler is not there",
        "it is there; those after it are not",
        "what is there is compared and left alone; what is missing is made",
    ),
    line(
        "alert.push",
        "drain, when documents may expire",
        "nobody has heard of the trouble",
        "somebody has heard of it, and the state does not know",
        "it is told again: twice rather than never",
    ),
    line(
        "subscription.confirm",
        "listen, behind SNS over HTTP",
        "SNS waits for the confirmation",
        "SNS posts from now on",
        "SNS asks again while it waits; a second confirmation changes nothing",
    ),
];

/// All of them, in the order of the page.
pub(crate) fn lines() -> impl Iterator<Item = &'static Line> {
    ON_THE_WAY.iter().chain(RARER)
}
