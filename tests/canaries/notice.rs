//! Who speaks up: the place of the first panic in this thread tells.

use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// Who says that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// A constraint or a trigger of SQLite.
    Database,
    /// An assertion in the product.
    Assertion,
    /// The product refuses to go on, and says why.
    Refusal,
    /// The inbox of the test, which looks into the journal whenever it is acknowledged.
    Inbox,
    /// The oracle, which looks at all that is left.
    Oracle,
    /// The pipeline does not come to its end.
    Stillness,
    /// The log of what was written and synced.
    Log,
    /// A case of a suite.
    Case,
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "SQLite refuses it",
            Self::Assertion => "an assertion of the product",
            Self::Refusal => "the product refuses to go on",
            Self::Inbox => "the watched inbox",
            Self::Oracle => "the oracle",
            Self::Stillness => "the pipeline does not get on",
            Self::Log => "the log of the shim",
            Self::Case => "a case of the suite",
        })
    }
}

/// A panic, by its place in the sources and its words.
#[derive(Debug, Clone)]
pub(crate) struct Panicked {
    pub(crate) file: String,
    pub(crate) words: String,
}

thread_local! {
    /// Listening, and the first panic since.
    static HEARD: RefCell<Option<Option<Panicked>>> = const { RefCell::new(None) };
}

fn hear(info: &PanicHookInfo<'_>) -> bool {
    HEARD.with_borrow_mut(|heard| {
        let Some(first) = heard else { return false };
        let file = info.location().map_or_else(String::new, |location| location.file().to_owned());
        let words = info.payload_as_str().unwrap_or_default().to_owned();
        first.get_or_insert(Panicked { file, words });
        true
    })
}

/// Does something; the first panic in it, which is not printed.
pub(crate) fn listen<T>(what: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !hear(info) {
                usual(info);
            }
        }));
    });
    HEARD.set(Some(None));
    let done = catch_unwind(AssertUnwindSafe(what));
    let heard = HEARD.take().flatten();
    done.map_err(|_| {
        heard.unwrap_or_else(|| Panicked { file: String::new(), words: "another thread".to_owned() })
    })
}

impl Panicked {
    /// Whose words these are.
    pub(crate) fn voice(&self) -> Voice {
        let said = |words: &str| self.words.contains(words);
        // Where SQLite or the product has refused a batch, the oracle reads their words from the journal.
        if said("constraint failed") || said("the state database") {
            Voice::Database
        } else if said("a failure that no test injected") || said("the load fixed") || said("its load fixed")
        {
            Voice::Refusal
        } else if self.file.starts_with("src/") || self.file.starts_with("state/src/") {
            Voice::Assertion
        } else if self.file.contains("oracle/") {
            Voice::Oracle
        } else if self.file.ends_with("crash/landing.rs") {
            Voice::Inbox
        } else if self.file.ends_with("durability/rules.rs") {
            Voice::Log
        } else if said("does not get on") {
            Voice::Stillness
        } else {
            Voice::Case
        }
    }
}
