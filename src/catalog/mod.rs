//! What the catalog of the query engines should hold for a job, what it holds instead, and what may be done about that.
//! Pure but for [`apply`], which acts through the port [`Definitions`](crate::ports::definitions::Definitions).
//!
//! For each target table `T` there is the table `T_csv` over its CSV objects and the typed view `T` over that; a job that
//! names a crawler has one over all its tables. Nothing is guessed from the objects: everything follows from the job.

mod apply;
mod base64;
mod compare;
mod crawler;
mod ddl;
mod difference;
mod plan;
mod stored_view;
#[cfg(test)]
mod tests;
mod wanted;

pub use apply::{Applied, apply, look};
pub use ddl::{database_ddl, embedded_ddl, table_ddl, view_ddl};
pub use difference::{Difference, Remedy};
pub use plan::{Action, Found, Means, Plan, plan};
pub use wanted::{Place, View, Wanted, wanted};
