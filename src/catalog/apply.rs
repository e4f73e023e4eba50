//! Looking at what is there, and carrying out a plan.

use sluicegate_state::seam::Seam;

use super::ddl::view_ddl;
use super::difference::Difference;
use super::plan::{Action, Found, Means, Plan, plan};
use super::stored_view::stored;
use super::wanted::{View, Wanted};
use crate::effects::CATALOG_DEFINE;
use crate::failure::{Failure, FailureKind, Outcome};
use crate::ports::definitions::Definitions;

/// How often a plan is made: somebody else may be at work too, and what he made can differ again.
const ROUNDS: usize = 3;

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// What was done, in words; what was there already is in it where its making was tried.
    pub done: Vec<String>,
    /// What is different still.
    pub left: Vec<Difference>,
    /// Why it ended early.
    pub failure: Option<Failure>,
}

/// What is there of all that is wanted.
pub fn look(definitions: &mut dyn Definitions, wanted: &Wanted) -> Outcome<Found> {
    let database = definitions.database(&wanted.database)?;
    let mut found = Found { database, ..Found::default() };
    let mut table = |name: &str| match database {
        true => definitions.table(&wanted.database, name),
        false => Ok(None),
    };
    for wanted in &wanted.tables {
        found.tables.push(table(&wanted.name)?);
    }
    for wanted in &wanted.views {
        found.views.push(table(&wanted.name)?);
    }
    if let Some(crawler) = &wanted.crawler {
        found.crawler = definitions.crawler(&crawler.name)?;
    }
    Ok(found)
}

/// Makes what is missing and changes what may be changed; takes nothing away. Doing it again does nothing more.
pub fn apply(definitions: &mut dyn Definitions, wanted: &Wanted, means: Means, seam: &Seam) -> Applied {
    let mut applied = Applied::default();
    applied.failure = rounds(definitions, wanted, means, seam, &mut applied).err();
    // What is left is not what was left before the failure, as far as that can be seen.
    if applied.failure.as_ref().is_some_and(|failure| failure.kind != FailureKind::Died)
        && let Ok(found) = look(definitions, wanted)
    {
        applied.left = plan(wanted, &found, means).differences;
    }
    applied
}

fn rounds(
    definitions: &mut dyn Definitions,
    wanted: &Wanted,
    means: Means,
    seam: &Seam,
    applied: &mut Applied,
) -> Outcome<()> {
    for _ in 0..ROUNDS {
        let Plan { differences, actions } = plan(wanted, &look(definitions, wanted)?, means);
        applied.left = differences;
        // What was done and is still to be done would not be there after one more try either.
        let todo: Vec<_> =
            actions.into_iter().filter(|action| !applied.done.contains(&action.to_string())).collect();
        if todo.is_empty() {
            return Ok(());
        }
        for action in todo {
            carry_out(definitions, &action, seam).map_err(|failure| failure.while_doing(&action))?;
            applied.done.push(action.to_string());
        }
    }
    applied.left = plan(wanted, &look(definitions, wanted)?, means).differences;
    Ok(())
}

fn carry_out(definitions: &mut dyn Definitions, action: &Action, seam: &Seam) -> Outcome<()> {
    match action {
        Action::MakeView(database, view) => make_view(definitions, database, view, seam),
        Action::MakeDatabase(name) => seam.perform(CATALOG_DEFINE, || definitions.make_database(name)),
        Action::MakeTable(database, table) => {
            seam.perform(CATALOG_DEFINE, || definitions.make_table(database, table))
        }
        Action::ChangeTable(database, found, change) => {
            seam.perform(CATALOG_DEFINE, || definitions.change_table(database, found, change))
        }
        Action::MakeCrawler(crawler) => seam.perform(CATALOG_DEFINE, || definitions.make_crawler(crawler)),
    }
}

/// By the engine's own statement. An engine that stands in for Athena may run it and keep nothing: then the view is stored
/// in the form in which Athena would have kept it.
fn make_view(definitions: &mut dyn Definitions, database: &str, view: &View, seam: &Seam) -> Outcome<()> {
    seam.perform(CATALOG_DEFINE, || definitions.run(database, &view_ddl(view)))?;
    if definitions.table(database, &view.name)?.is_some() {
        return Ok(());
    }
    seam.perform(CATALOG_DEFINE, || definitions.make_table(database, &stored(view, database)))
}
