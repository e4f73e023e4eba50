//! The state machine of a batch: one pure table. `docs/state-machine.md` shows it, the triggers in
//! `migrations/state/0002_batch.sql` enforce it, and tests compare all three.

text_enum! {
    /// Where a batch is on its way.
    pub enum BatchState {
        /// Its members are fixed; their originals are still in the landing only.
        Sealed => "sealed",
        /// Its archive object holds the originals; the landing is not needed any more.
        Archived => "archived",
        /// Its load is committed in the warehouse.
        Loaded => "loaded",
        /// Its CSV objects are visible. The end.
        Published => "published",
        /// Parked by a permanent error until a person looks at it.
        Failed => "failed",
        /// A person gave it up. The end.
        Abandoned => "abandoned",
    }
}

text_enum! {
    /// What happens to a batch.
    pub enum BatchEvent {
        /// The archive object is there.
        Archived => "archived",
        /// The load is committed.
        Loaded => "loaded",
        /// The CSV objects are visible.
        Published => "published",
        /// A permanent error.
        Failed => "failed",
        /// A person lets a parked batch go on.
        Resumed => "resumed",
        /// A person gives the batch up.
        Abandoned => "abandoned",
    }
}

text_enum! {
    /// The work that takes a batch one state further.
    pub enum Stage {
        /// Secures the originals of a sealed batch.
        Archive => "archive",
        /// Loads an archived batch into the warehouse.
        Load => "load",
        /// Makes the CSV objects of a loaded batch visible.
        Publish => "publish",
    }
}

impl BatchState {
    /// Whether the pipeline has work to do on a batch in this state.
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Sealed | Self::Archived | Self::Loaded)
    }
}

impl Stage {
    /// The state whose batches this stage works on.
    pub const fn takes(self) -> BatchState {
        match self {
            Self::Archive => BatchState::Sealed,
            Self::Load => BatchState::Archived,
            Self::Publish => BatchState::Loaded,
        }
    }

    /// The event that ends this stage well.
    pub const fn event(self) -> BatchEvent {
        match self {
            Self::Archive => BatchEvent::Archived,
            Self::Load => BatchEvent::Loaded,
            Self::Publish => BatchEvent::Published,
        }
    }
}

/// The whole table: where `event` takes a batch that is in `state`, or nothing where it may not happen. `failed_from` is
/// the state that a failed batch failed from.
pub fn transition(
    state: BatchState,
    event: BatchEvent,
    failed_from: Option<BatchState>,
) -> Option<BatchState> {
    use {BatchEvent as E, BatchState as S};
    match (state, failed_from, event) {
        (S::Sealed, None, E::Archived) => Some(S::Archived),
        (S::Archived, None, E::Loaded) => Some(S::Loaded),
        (S::Loaded, None, E::Published) => Some(S::Published),
        (S::Sealed | S::Archived | S::Loaded, None, E::Failed) => Some(S::Failed),
        (S::Failed, Some(from @ (S::Sealed | S::Archived | S::Loaded)), E::Resumed) => Some(from),
        // A loaded batch can only go forward: its rows are in the warehouse.
        (S::Sealed | S::Archived, None, E::Abandoned) => Some(S::Abandoned),
        (S::Failed, Some(S::Sealed | S::Archived), E::Abandoned) => Some(S::Abandoned),
        _ => None,
    }
}

/// Whether what `event` wants is already so, because another process did it or an answer was lost.
pub(crate) fn already_there(state: BatchState, event: BatchEvent, failed_from: Option<BatchState>) -> bool {
    let reached = progress(failed_from.unwrap_or(state));
    match event {
        BatchEvent::Archived => reached >= progress(BatchState::Archived),
        BatchEvent::Loaded => reached >= progress(BatchState::Loaded),
        BatchEvent::Published => reached >= progress(BatchState::Published),
        BatchEvent::Failed => state == BatchState::Failed,
        BatchEvent::Resumed => progress(state).is_some(),
        BatchEvent::Abandoned => state == BatchState::Abandoned,
    }
}

/// How far a state is along the way; nothing for those beside it.
fn progress(state: BatchState) -> Option<u8> {
    match state {
        BatchState::Sealed => Some(0),
        BatchState::Archived => Some(1),
        BatchState::Loaded => Some(2),
        BatchState::Published => Some(3),
        BatchState::Failed | BatchState::Abandoned => None,
    }
}
