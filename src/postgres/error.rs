//! What an error of PostgreSQL, of the network or of TLS means for the pipeline.

use std::error::Error as _;
use std::fmt;

use postgres::error::{DbError, SqlState};

use crate::failure::Failure;

/// Longest part of the server's own words that is kept.
const MAX_WORDS: usize = 500;

/// Why something that was asked was not done, or perhaps was.
#[derive(Debug)]
pub(super) enum Error {
    /// What the server answered, or what the client library met.
    Library(postgres::Error),
    /// The server said nothing, and the connection was given up; in words for people.
    Silent(String),
}

impl Error {
    /// The server's SQLSTATE, where it answered.
    pub(super) fn code(&self) -> Option<&SqlState> {
        self.as_db_error().map(DbError::code)
    }

    /// The server's answer, if there is one.
    pub(super) fn as_db_error(&self) -> Option<&DbError> {
        match self {
            Self::Library(error) => error.as_db_error(),
            Self::Silent(_) => None,
        }
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        Self::Library(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Silent(words) => f.write_str(words),
        }
    }
}

/// What an error means for the batch.
pub(super) fn failure(error: Error) -> Failure {
    match error {
        Error::Silent(words) => Failure::transient(words),
        Error::Library(error) => match error.as_db_error() {
            Some(answer) => answered(answer),
            None => unanswered(&error),
        },
    }
}

/// The server's own words about an error of its making, without the row's values.
pub(super) fn words(error: &DbError) -> String {
    let constraint = error.constraint().filter(|name| !error.message().contains(*name));
    let constraint = constraint.map_or_else(String::new, |name| format!(" (constraint {name})"));
    let text = format!("{}{constraint}", error.message());
    text.chars().take(MAX_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether the server refuses the row itself: bad data (22), a constraint (23), or what a user's trigger raises (P0001).
pub(super) fn refuses_row(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| matches!(&code.code()[..2], "22" | "23") || *code == SqlState::RAISE_EXCEPTION)
}

/// Whether two transactions waited for each other.
pub(super) fn is_deadlock(error: &Error) -> bool {
    error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

fn answered(error: &DbError) -> Failure {
    let code = error.code().code();
    let message = format!("the warehouse answered: {} (SQLSTATE {code})", words(error));
    if is_transient(code) {
        return Failure::transient(message);
    }
    let next = match (&code[..2], code) {
        ("28", _) => {
            "; check the user, the password and pg_hba.conf, or whether the server demands TLS (sslmode)"
        }
        ("3D", _) => "; create the database or correct its name",
        (_, "42501") => "; grant the user this right, or let its owner create the tables",
        _ => "",
    };
    Failure::permanent(format!("{message}{next}"))
}

/// Connection (08), shutdown and cancellation (57), resources (53), locks, serialisation, deadlock, I/O (58), and a
/// server that became a replica in a failover (25006).
fn is_transient(code: &str) -> bool {
    matches!(&code[..2], "08" | "53" | "57" | "58")
        || matches!(code, "55P03" | "40001" | "40P01" | "25006" | "25P03" | "25P04")
}

/// No answer of the server's: network, TLS, or this side's settings.
fn unanswered(error: &postgres::Error) -> Failure {
    let mut message = format!("the warehouse cannot be reached: {error}");
    let mut cause = error.source();
    let mut is_io = error.is_closed();
    let mut untrusted = None;
    while let Some(inner) = cause {
        if !message.ends_with(&inner.to_string()) {
            message = format!("{message}: {inner}");
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            is_io = true;
            let tls = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            untrusted = untrusted.or_else(|| tls.filter(|error| is_about_trust(error)));
        }
        cause = inner.source();
    }
    if untrusted.is_some() {
        return Failure::permanent(format!(
            "{message}; give the server's authority as sslrootcert, and the host name that its certificate holds"
        ));
    }
    // A handshake that fails without saying why, or a protocol that breaks off, happens while a server goes down.
    let text = error.to_string();
    let settings = ["invalid configuration", "invalid connection string", "authentication error"];
    let about_settings = !is_io && settings.iter().any(|start| text.starts_with(start));
    if about_settings || message.contains("does not support TLS") {
        return Failure::permanent(format!("{message}; correct the warehouse's URL or its password file"));
    }
    if is_io || text.starts_with("error connecting") || text.starts_with("timeout") {
        return Failure::transient(message);
    }
    Failure::permanent(message)
}

fn is_about_trust(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::UnsupportedNameType
            | rustls::Error::NoCertificatesPresented
    )
}

#[cfg(test)]
mod tests {
    use super::is_transient;

    #[test]
    fn what_passes_is_told_from_what_needs_a_person() {
        for code in ["08006", "57P01", "57P03", "57014", "53300", "53100", "55P03", "40001", "40P01", "58030"]
        {
            assert!(is_transient(code), "{code}");
        }
        for code in ["28P01", "3D000", "42501", "42P01", "22003", "23505", "XX000", "0A000"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
