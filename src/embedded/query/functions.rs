//! The functions of the embedded engine: exact aggregates in place of SQLite's, the casts of the typed tables, and a few of
//! Athena's date functions, so that one statement can run on both.

use chrono::{Datelike, NaiveDate};
use rusqlite::functions::{Aggregate, Context, FunctionFlags, WindowAggregate};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, Error, Result};

use super::exact::{Exact, Precision};

/// The cast of an integer column: text and, for the message, the column's name.
pub(super) const CAST_INTEGER: &str = "sluicegate_integer";
/// The cast of a decimal column, with the same arguments.
pub(super) const CAST_DECIMAL: &str = "sluicegate_decimal";

/// Registers all of them.
pub(super) fn register(connection: &Connection, precision: Precision) -> Result<()> {
    for kind in [Kind::Sum, Kind::Total, Kind::Average] {
        let aggregate = ExactAggregate { kind, precision };
        connection.create_window_function(kind.name(), 1, flags(), aggregate)?;
    }
    connection.create_scalar_function(CAST_INTEGER, 2, flags(), |context| {
        cast(context, "an integer", |text| text.parse().ok().map(SqlValue::Integer))
    })?;
    connection.create_scalar_function(CAST_DECIMAL, 2, flags(), move |context| {
        cast(context, "a decimal", |text| Exact::parse(text).map(|exact| exact.to_sql(precision)))
    })?;
    register_dates(connection)
}

fn flags() -> FunctionFlags {
    FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS
}

fn refused(message: String) -> Error {
    Error::UserFunctionError(message.into())
}

/// Empty is NULL; what cannot be cast is an error and never a silent zero.
fn cast(context: &Context<'_>, what: &str, parse: impl Fn(&str) -> Option<SqlValue>) -> Result<SqlValue> {
    let text = context.get_raw(0).as_str()?;
    if text.is_empty() {
        return Ok(SqlValue::Null);
    }
    match parse(text) {
        Some(value) => Ok(value),
        None => Err(refused(format!("{text:?} in {} is not {what}", context.get_raw(1).as_str()?))),
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sum,
    Total,
    Average,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Total => "total",
            Self::Average => "avg",
        }
    }
}

/// `sum`, `total` or `avg` without floating point on the way.
struct ExactAggregate {
    kind: Kind,
    precision: Precision,
}

/// What an aggregate has seen.
#[derive(Default)]
struct Seen {
    sum: Exact,
    numbers: u64,
    /// How many of them were no integers: a sum of integers is one.
    decimals: u64,
}

impl ExactAggregate {
    fn number(&self, context: &Context<'_>) -> Result<Option<(Exact, bool)>> {
        let value = context.get_raw(0);
        if matches!(value, ValueRef::Null) {
            return Ok(None);
        }
        let integer = matches!(value, ValueRef::Integer(_));
        let exact = Exact::from_sql(value).ok_or_else(|| {
            refused(format!("{}: {} is not a number of at most 28 digits", self.kind.name(), shown(value)))
        })?;
        Ok(Some((exact, integer)))
    }

    fn add(&self, seen: &mut Seen, number: Exact) -> Result<()> {
        let too_large = || refused(format!("{}: the sum has more than 38 digits", self.kind.name()));
        seen.sum = seen.sum.checked_add(number).ok_or_else(too_large)?;
        Ok(())
    }

    fn result(&self, seen: &Seen) -> Result<SqlValue> {
        match self.kind {
            Kind::Total => Ok(SqlValue::Real(seen.sum.to_real())),
            _ if seen.numbers == 0 => Ok(SqlValue::Null),
            Kind::Average => Ok(SqlValue::Real(seen.sum.mean(seen.numbers))),
            Kind::Sum if seen.decimals > 0 => Ok(seen.sum.to_sql(self.precision)),
            Kind::Sum => {
                let overflow = || refused("sum: integer overflow".to_owned());
                seen.sum.to_integer().map(SqlValue::Integer).ok_or_else(overflow)
            }
        }
    }
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Real(real) => real.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Null => "NULL".to_owned(),
    }
}

impl Aggregate<Seen, SqlValue> for ExactAggregate {
    fn init(&self, _: &mut Context<'_>) -> Result<Seen> {
        Ok(Seen::default())
    }

    fn step(&self, context: &mut Context<'_>, seen: &mut Seen) -> Result<()> {
        let Some((number, integer)) = self.number(context)? else { return Ok(()) };
        seen.numbers += 1;
        seen.decimals += u64::from(!integer);
        self.add(seen, number)
    }

    fn finalize(&self, _: &mut Context<'_>, seen: Option<Seen>) -> Result<SqlValue> {
        self.result(&seen.unwrap_or_default())
    }
}

impl WindowAggregate<Seen, SqlValue> for ExactAggregate {
    fn value(&self, seen: Option<&mut Seen>) -> Result<SqlValue> {
        seen.map_or_else(|| self.result(&Seen::default()), |seen| self.result(seen))
    }

    fn inverse(&self, context: &mut Context<'_>, seen: &mut Seen) -> Result<()> {
        let Some((number, integer)) = self.number(context)? else { return Ok(()) };
        seen.numbers -= 1;
        seen.decimals -= u64::from(!integer);
        let negated = number.negated().expect("a number of at most 28 digits has a negative");
        self.add(seen, negated)
    }
}

fn register_dates(connection: &Connection) -> Result<()> {
    type Part = fn(NaiveDate) -> u32;
    let parts: [(&str, Part); 4] = [
        ("year", |date| u32::try_from(date.year()).unwrap_or(0)),
        ("quarter", |date| date.month0() / 3 + 1),
        ("month", |date| date.month()),
        ("day", |date| date.day()),
    ];
    for (name, part) in parts {
        connection.create_scalar_function(
            name,
            1,
            flags(),
            move |context| Ok(date(context, 0)?.map(part)),
        )?;
    }
    connection.create_scalar_function("date_trunc", 2, flags(), |context| {
        let unit = context.get_raw(0).as_str()?.to_ascii_lowercase();
        let Some(date) = date(context, 1)? else { return Ok(None) };
        let first = truncated(&unit, date).ok_or_else(|| {
            refused(format!("date_trunc: {unit:?} is not day, week, month, quarter or year"))
        })?;
        Ok(Some(first.to_string()))
    })
}

/// The first day of the unit that `date` lies in; weeks begin on Monday.
fn truncated(unit: &str, date: NaiveDate) -> Option<NaiveDate> {
    match unit {
        "day" => Some(date),
        "week" => Some(date.week(chrono::Weekday::Mon).first_day()),
        "month" => date.with_day(1),
        "quarter" => date.with_day(1)?.with_month0(date.month0() / 3 * 3),
        "year" => date.with_ordinal(1),
        _ => None,
    }
}

/// The date in an argument: `YYYY-MM-DD`, whatever time may follow it.
fn date(context: &Context<'_>, argument: usize) -> Result<Option<NaiveDate>> {
    let value = context.get_raw(argument);
    if matches!(value, ValueRef::Null) {
        return Ok(None);
    }
    let parsed = value.as_str().ok().and_then(|text| text.get(..10)?.parse().ok());
    parsed.map(Some).ok_or_else(|| refused(format!("{} is not a date YYYY-MM-DD", shown(value))))
}
