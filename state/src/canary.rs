//! Canaries: deliberate defects, each in the place where the real decision is made, so that tests can show that somebody
//! notices. Only with the feature `faults`; without it [`sings`] is a constant, and neither the defects nor their names
//! are in the program. `tests/canaries` lets each of them sing and says who notices.

/// A deliberate defect.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "faults", derive(Debug))]
pub enum Canary {
    /// The journal is not synced when it is written.
    JournalNotSynced,
    /// Deliveries are acknowledged before they are journaled.
    AcknowledgeFirst,
    /// A notification that is known is recorded once more.
    RedeliveryIsNew,
    /// A batch moves to where the event leads, wherever it is.
    MoveFromAnywhere,
    /// What lies at the key now is read, whatever version was announced.
    NoIfMatch,
    /// An object gets its name before its bytes are synced.
    LinkedUnsynced,
    /// A lost state does not look for batches in the archive.
    ArchiveNotAdopted,
    /// Batches are archived only while the ledger answers.
    ArchiveAsksLedger,
    /// Verdicts and control totals are recorded in a second transaction, after that of the rows.
    LedgerApart,
    /// A load whose batch key is there already loads again.
    RetryWithoutAsking,
    /// Documents that another batch has are loaded too.
    ClaimsUnchecked,
    /// A CSV object is named by the clock.
    CsvKeyFromClock,
    /// A CSV object is not byte for byte the same when it is made again.
    CsvNotReproducible,
    /// The CSV objects of parents are written before those of their children.
    ParentsFirst,
    /// A batch counts as published before its CSV objects are written, so that a crawl may adopt it.
    PublishedBeforePut,
    /// A crawl adopts what was published after the end of its window.
    CrawlAdoptsLate,
    /// The owner of a crawl does not renew its lease.
    LeaseNotRenewed,
    /// Windows end by a machine's local time.
    WindowInLocalTime,
}

/// Whether a defect is chosen. Without the feature `faults` none ever is.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn sings(_: Canary) -> bool {
    false
}

/// As [`sings`], but only every third time.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn sings_now_and_then(_: Canary) -> bool {
    false
}

/// What a thread does first that shall have the choice of the thread that starts it: nothing.
#[cfg(not(feature = "faults"))]
pub fn inherited() -> impl Fn(usize) + Send + Sync + 'static {
    |_| ()
}

#[cfg(feature = "faults")]
pub use chosen::{Song, VARIABLE, inherited, sings, sings_now_and_then};

/// The choice: of a thread, so that tests side by side do not disturb each other, else of the process.
#[cfg(feature = "faults")]
mod chosen {
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::sync::LazyLock;

    use super::Canary;

    /// The environment variable that chooses for a whole process.
    pub const VARIABLE: &str = "SLUICEGATE_CANARY";

    thread_local! {
        static CHOSEN: Cell<Option<Canary>> = const { Cell::new(None) };
        static TIMES: Cell<u32> = const { Cell::new(0) };
    }

    static OF_THE_PROCESS: LazyLock<Option<Canary>> = LazyLock::new(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let found = Canary::ALL.iter().copied().find(|canary| canary.name() == name);
        Some(found.unwrap_or_else(|| panic!("{VARIABLE}: there is no canary {name:?}")))
    });

    /// Whether a defect is chosen, by this thread or for the process.
    pub fn sings(canary: Canary) -> bool {
        CHOSEN.get().or(*OF_THE_PROCESS) == Some(canary)
    }

    /// As [`sings`], but only every third time in this thread.
    pub fn sings_now_and_then(canary: Canary) -> bool {
        sings(canary) && TIMES.replace(TIMES.get() + 1).is_multiple_of(3)
    }

    /// What a thread does first that shall have the choice of the thread that starts it.
    pub fn inherited() -> impl Fn(usize) + Send + Sync + 'static {
        let chosen = CHOSEN.get();
        move |_| CHOSEN.set(chosen)
    }

    /// As long as this lives, its canary sings in this thread.
    #[must_use]
    pub struct Song(PhantomData<*const ()>);

    impl Song {
        /// Lets a canary sing in this thread.
        pub fn of(canary: Canary) -> Self {
            TIMES.set(0);
            CHOSEN.set(Some(canary));
            Self(PhantomData)
        }
    }

    impl Drop for Song {
        fn drop(&mut self) {
            CHOSEN.set(None);
        }
    }

    /// Every canary with its name.
    macro_rules! names {
        ($($canary:ident => $name:literal,)+) => {
            impl Canary {
                /// Every canary, in the order of a document's way.
                pub const ALL: &'static [Self] = &[$(Self::$canary,)+];

                /// What it is chosen by.
                pub const fn name(self) -> &'static str {
                    match self { $(Self::$canary => $name,)+ }
                }
            }
        };
    }

    names! {
        JournalNotSynced => "journal-not-synced",
        AcknowledgeFirst => "acknowledge-before-journal",
        RedeliveryIsNew => "redelivery-counted-as-new",
        MoveFromAnywhere => "transition-without-from-state",
        NoIfMatch => "get-without-if-match",
        LinkedUnsynced => "object-linked-unsynced",
        ArchiveNotAdopted => "archive-not-adopted",
        ArchiveAsksLedger => "archive-asks-the-ledger",
        LedgerApart => "ledger-outside-the-transaction",
        RetryWithoutAsking => "retry-without-asking",
        ClaimsUnchecked => "claims-not-checked",
        CsvKeyFromClock => "csv-key-from-the-clock",
        CsvNotReproducible => "csv-not-reproducible",
        ParentsFirst => "parents-before-children",
        PublishedBeforePut => "published-before-the-last-put",
        CrawlAdoptsLate => "crawl-adopts-late",
        LeaseNotRenewed => "lease-not-renewed",
        WindowInLocalTime => "window-in-local-time",
    }
}
