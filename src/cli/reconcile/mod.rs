//! `reconcile`: the proof, what mends it, and the report.

mod alert;
mod behind;
mod files;
mod text;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;

use sluicegate_state::Store;

use crate::config::Config;
use crate::pipeline::context::Context;
use crate::pipeline::ledger::check_identity;
use crate::ports::catalog::Catalog;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::query_engine::{Interrupt, QueryEngine};
use crate::ports::warehouse::Warehouse;
use crate::reconcile::mend::{self, Mended, Person};
use crate::reconcile::model::{DayReport, Report};
use crate::reconcile::run::{Mendable, Places, reconcile as prove};

use super::args::{Flags, Format, ReconcileOptions};
use super::assemble::{self, Surroundings};
use super::exit::{Exit, Stop};
use super::output::{print, print_json};
use super::seam::seam;
use super::session::{Session, host, load_config};

/// Everything that is asked, for all jobs.
struct Asked {
    context: Arc<Context>,
    warehouse: Box<dyn Warehouse>,
    catalogs: BTreeMap<String, Box<dyn Catalog>>,
    engine: Option<Box<dyn QueryEngine>>,
}

/// One look at all jobs.
struct Looked {
    report: Report,
    mendable: BTreeMap<String, Mendable>,
}

/// `sluicegate reconcile`.
pub(super) fn reconcile(flags: &Flags, options: &ReconcileOptions) -> Result<Exit, Stop> {
    let config = load_config(flags)?;
    assemble::refuse_unsupported(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Some(warehouse) = assemble::existing_warehouse(&config, clock.clone())? else {
        return nothing_yet(flags, &config, clock.as_ref());
    };
    let mut session = Session::begin(&config, seam(), clock.clone())?;
    let result = work(flags, options, &config, &mut session, &clock, warehouse);
    let exit = match &result {
        Ok(exit) => *exit,
        Err(stop) => stop.exit,
    };
    session.end(exit)?;
    result
}

fn work(
    flags: &Flags,
    options: &ReconcileOptions,
    config: &Config,
    session: &mut Session,
    clock: &Arc<dyn Clock>,
    mut warehouse: Box<dyn Warehouse>,
) -> Result<Exit, Stop> {
    if !options.ledger_behind {
        check_identity(session.store(), warehouse.as_mut())?;
    }
    let surroundings = Surroundings {
        clock: clock.clone(),
        seam: seam(),
        incarnation: session.incarnation().to_owned(),
        seal_at_once: false,
    };
    let context = Arc::new(assemble::context(config, surroundings)?);
    let mut not_entered = 0;
    if options.ledger_behind {
        let person = person(options);
        match behind::mend(flags, options, &context, session.store(), &mut warehouse, &person)? {
            behind::Went::Ended(exit) => return Ok(exit),
            behind::Went::On { refused } => not_entered = refused,
        }
        check_identity(session.store(), warehouse.as_mut())?;
    }
    for job in context.jobs.values() {
        warehouse.prepare(job.definition.schema())?;
    }
    let mut asked =
        Asked { warehouse, catalogs: assemble::catalogs(config, clock)?, engine: engine(config)?, context };
    let mut looked = asked.look(session.store(), options, clock.as_ref())?;
    let mended = asked.mend(session.store(), options, &looked)?;
    let refused = not_entered + mended.as_ref().map_or(0, |mended| mended.refused.len());
    if let Some(mended) = mended {
        mended.done.iter().for_each(|done| eprintln!("sluicegate: {done}"));
        mended.refused.iter().for_each(|refused| eprintln!("sluicegate: not mended: {refused}"));
        looked = asked.look(session.store(), options, clock.as_ref())?;
    }
    if options.date.is_none() {
        alert::tell_of(config, &asked.context, session.store(), &looked.report);
    }
    let files = files::write(&asked.context, &looked.report)?;
    match flags.output {
        Format::Json => print_json(&looked.report)?,
        Format::Table => print(&text::text(&looked.report, &files))?,
    }
    Ok(if looked.report.balanced && refused == 0 { Exit::Fine } else { Exit::NeedsPerson })
}

/// The query engine, where the configuration has one.
fn engine(config: &Config) -> Result<Option<Box<dyn QueryEngine>>, Stop> {
    match assemble::engine(config) {
        Ok(_) => assemble::query_engine(config, &Interrupt::default()).map(Some),
        Err(_) => Ok(None),
    }
}

/// Before the first load there is nothing to prove.
fn nothing_yet(flags: &Flags, config: &Config, clock: &dyn Clock) -> Result<Exit, Stop> {
    let now = clock.now();
    let today = config.jobs.iter().map(|job| job.day(now)).max().unwrap_or_else(|| now.date_naive());
    let report = Report::new(Vec::new(), today, sluicegate_state::time::to_text(now));
    match flags.output {
        Format::Json => print_json(&report)?,
        Format::Table => print("OK: nothing has been loaded yet\n")?,
    }
    Ok(Exit::Fine)
}

impl Asked {
    fn look(&mut self, store: &Store, options: &ReconcileOptions, clock: &dyn Clock) -> Result<Looked, Stop> {
        let progress = |what: &str| {
            if std::io::stderr().is_terminal() {
                eprintln!("reconcile: {what}");
            } else {
                tracing::info!("reconcile: {what}");
            }
        };
        let (mut days, mut mendable): (Vec<DayReport>, BTreeMap<String, Mendable>) = Default::default();
        for job in self.context.jobs.values() {
            let mut places = Places {
                context: &self.context,
                store: Some(store),
                warehouse: self.warehouse.as_mut(),
                catalog: self.catalogs.get_mut(&job.name).map(|catalog| catalog.as_mut()),
                engine: self.engine.as_deref_mut(),
                progress: &progress,
            };
            let proof = prove(&mut places, job, options.date)?;
            days.extend(proof.days);
            mendable.insert(job.name.clone(), proof.mendable);
        }
        let now = clock.now();
        let report = Report::new(days, now.date_naive(), sluicegate_state::time::to_text(now));
        Ok(Looked { report, mendable })
    }

    /// What the options ask for; none where they only ask for the report.
    fn mend(
        &mut self,
        store: &mut Store,
        options: &ReconcileOptions,
        looked: &Looked,
    ) -> Result<Option<Mended>, Stop> {
        let mut mended = Mended::default();
        let person = person(options);
        if let Some(id) = &options.accept {
            mended.done.push(self.accept(id, &looked.report, &person)?);
        }
        if let Some(batch) = &options.restore {
            mended.done.push(self.restore(batch, &looked.report, &person)?);
        }
        if options.repair {
            for (name, mendable) in &looked.mendable {
                let job = self.context.jobs[name].clone();
                let more =
                    mend::repair(&self.context, store, self.warehouse.as_mut(), &job, mendable, &person)?;
                mended.done.extend(more.done);
                mended.refused.extend(more.refused);
            }
        }
        let asked = options.repair || options.restore.is_some() || options.accept.is_some();
        Ok(asked.then_some(mended))
    }

    fn accept(&mut self, id: &str, report: &Report, person: &Person) -> Result<String, Stop> {
        let all = report.jobs.iter().flat_map(|day| day.discrepancies.iter().map(move |found| (day, found)));
        let matching: Vec<_> = all.filter(|(_, found)| found.id.starts_with(id)).collect();
        let (day, found) = match matching.as_slice() {
            // One discrepancy may be told on each of its days.
            [one, others @ ..] if others.iter().all(|(_, other)| other.id == one.1.id) => *one,
            [] => {
                return Err(Stop::usage(format!(
                    "no discrepancy of this report has an id that begins with {id:?}; see: sluicegate reconcile"
                )));
            }
            _ => return Err(Stop::usage(format!("{id} begins more than one id"))),
        };
        mend::accept(self.warehouse.as_mut(), &day.job, found, person)?;
        Ok(format!("accepted: {} ({})", found.id, found.detail))
    }

    fn restore(&mut self, batch: &str, report: &Report, person: &Person) -> Result<String, Stop> {
        let told = report.jobs.iter().find(|day| {
            day.discrepancies
                .iter()
                .any(|found| found.kind == "deleted_rows" && found.batch_id.as_deref() == Some(batch))
        });
        let day = told.ok_or_else(|| {
            Stop::usage(format!(
                "this report has no deleted rows of batch {batch}; see: sluicegate reconcile"
            ))
        })?;
        let job = self.context.jobs[&day.job].clone();
        let rows = mend::restore(&self.context, self.warehouse.as_mut(), &job, batch, person)?;
        Ok(format!("{rows} rows of {batch} are back"))
    }
}

/// Who asks, and why.
fn person(options: &ReconcileOptions) -> Person {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let words: Vec<String> =
        std::env::args().map(|word| crate::reconcile::model::shell_word(&word)).collect();
    Person {
        operator: format!("{}@{}", user.unwrap_or_else(|| "unknown".to_owned()), host()),
        command: words.join(" "),
        reason: options.because.clone().unwrap_or_default(),
    }
}

/// The last reconciliation of all jobs, for `status`: when it was, and the job, day and verdict of what is not balanced.
pub(super) fn last(
    warehouse: &mut dyn Warehouse,
    jobs: &[crate::job::Job],
) -> Result<Option<(String, Vec<String>)>, crate::failure::Failure> {
    let mut newest: Option<String> = None;
    let mut unbalanced = Vec::new();
    for job in jobs {
        for day in warehouse.proof().reconciliations(&job.name)? {
            if day.verdict != "balanced" {
                unbalanced.push(format!("{} of {}", day.job, day.day));
            }
            newest = newest.max(Some(day.at));
        }
    }
    Ok(newest.map(|at| (at, unbalanced)))
}
