//! The waker of a connection that is driven inside the task of a request.
//!
//! hyper's connection and the future and body that belong to it wake each other. In one task these are wake-ups by oneself: each
//! would have the task run once more for nothing, and another worker called to help (measured: 60 µs of 85 per request).
//! So whatever rings while the connection is being polled anyway is only remembered.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Nobody listens; it rests, or its task is polling it right now.
const MUTED: u8 = 0;
/// It rang while it was muted.
const RANG: u8 = 1;
/// A task waits for it.
const LISTENING: u8 = 2;

/// See the room of this file.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// From now on its task sees by itself what happens; what rang before is seen too.
    pub(super) fn mute(&self) {
        self.state.store(MUTED, Ordering::Release);
    }

    /// The task goes to sleep. Wakes it at once if it rang since it was muted.
    pub(super) fn listen(&self, task: &Waker) {
        {
            let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            match known.as_mut() {
                Some(known) => known.clone_from(task),
                None => *known = Some(task.clone()),
            }
        }
        if self.state.swap(LISTENING, Ordering::AcqRel) == RANG {
            task.wake_by_ref();
        }
    }

    /// No task belongs to it any more: a waker would keep the memory of one that has ended.
    pub(super) fn forget(&self) {
        self.mute();
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RANG, Ordering::AcqRel) == LISTENING {
            // Cloned, since a waker may run anything.
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn both() -> (Arc<Bell>, Arc<Task>, Waker) {
        let task = Arc::new(Task::default());
        (Arc::default(), task.clone(), task.into())
    }

    #[test]
    fn a_task_that_listens_is_woken_once() {
        let (bell, woken, task) = both();
        bell.listen(&task);
        bell.wake_by_ref();
        bell.wake_by_ref();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_rings_while_it_is_muted_wakes_nobody() {
        let (bell, woken, task) = both();
        bell.listen(&task);
        bell.mute();
        bell.wake_by_ref();
        bell.mute();
        bell.listen(&task);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_rang_after_the_last_look_is_not_lost() {
        let (bell, woken, task) = both();
        bell.mute();
        bell.wake_by_ref();
        bell.listen(&task);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn it_keeps_no_task_that_has_ended() {
        let (bell, woken, task) = both();
        bell.listen(&task);
        drop(task);
        bell.forget();
        bell.wake_by_ref();
        assert_eq!((woken.0.load(Ordering::Relaxed), Arc::strong_count(&woken)), (0, 1));
    }
}
