//! Lanes: queues whose work is done in groups, one group after another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::error::{Error, Kind};

/// How much work makes a group at most.
const MOST_TOGETHER: usize = 64;
/// How much waits in a lane at most: what comes then is to be turned away.
pub(super) const MOST_WAITING: usize = 4096;

/// One lane; its clones are the same.
pub(super) struct Lane<W: ?Sized> {
    waiting: Arc<Mutex<VecDeque<Box<W>>>>,
    free: Arc<Semaphore>,
}

impl<W: ?Sized> Default for Lane<W> {
    fn default() -> Self {
        Self { waiting: Arc::default(), free: Arc::new(Semaphore::new(1)) }
    }
}

impl<W: ?Sized + Send + 'static> Lane<W> {
    /// Queues work. When the lane is free, `work_off` is given what waits by then, or the first of it, on a blocking thread.
    ///
    /// That happens even if the caller stops waiting.
    pub(super) fn queue(&self, work: Box<W>, work_off: impl FnOnce(Vec<Box<W>>) + Send + 'static) {
        self.waiting().push_back(work);
        let lane = Self { waiting: self.waiting.clone(), free: self.free.clone() };
        tokio::spawn(async move {
            let Ok(_turn) = lane.free.acquire().await else { return };
            let group = lane.take();
            if group.is_empty() {
                return; // another took it along
            }
            if let Err(error) = tokio::task::spawn_blocking(move || work_off(group)).await {
                tracing::error!(%error, "a group was given up");
            }
        });
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, VecDeque<Box<W>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that waits now.
    pub(super) fn take_all(&self) -> Vec<Box<W>> {
        self.waiting().drain(..).collect()
    }

    fn take(&self) -> Vec<Box<W>> {
        let mut waiting = self.waiting();
        let together = waiting.len().min(MOST_TOGETHER);
        waiting.drain(..together).collect()
    }
}

/// The refusal of work because too much waits.
pub(super) fn busy(detail: &str) -> Error {
    Error::new(Kind::Unavailable, detail).remedy("try again in a few seconds").retry_after(2)
}
