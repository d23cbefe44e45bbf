//! Which thread is the main one, and sleeping until a word changes.
//!
//! A thread sleeps on a condition variable, which a signal does not end. Python's handlers run on the
//! main thread only, so that one waits for a bell of its own by `poll`, which a signal does end.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::sys::attempt::{attempt, retry};
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::unix::bell::Bell;
use crate::engine::sys::unix::io::poll;
use crate::engine::sys::unix::process::process_id;

/// The CPU that the calling thread runs on: not known.
pub fn current_cpu() -> Option<u32> {
    None
}

/// Whether Python's signal handlers may run on this thread. After a fork it is the thread that
/// forked.
pub fn is_main_thread() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
    #[cfg(not(target_os = "linux"))]
    // SAFETY: it only looks at the thread that calls it.
    #[expect(unsafe_code)]
    return unsafe { libc::pthread_main_np() } != 0;
}

/// Where threads of this process sleep until a word changes.
///
/// Invariant: a thread checks the word under the lock. Before it releases the lock, it waits on the
/// condition variable or has put its bell here. `wake_all` is called after the change and takes the
/// lock, so a thread has either seen the change or is woken.
#[derive(Debug, Default)]
pub struct Parker {
    /// The main thread's bell, while that thread sleeps here.
    bell: Mutex<Option<Arc<Bell>>>,
    changed: Condvar,
}

impl Parker {
    pub(in crate::engine) fn new() -> Self {
        Self::default()
    }

    fn bell(&self) -> MutexGuard<'_, Option<Arc<Bell>>> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until `wake_all` is called for `word`, for at most `left`. Returns at once if `word`
    /// does not have `value`, and may return for no reason. `Error::INTERRUPTED` means that a
    /// signal's handler ran on this thread.
    pub fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Result<()> {
        attempt(Call::Sleep, || Ok::<_, Error>(()))?;
        // If there are no descriptors for a bell, the main thread sleeps as other threads do. A
        // caller that must notice signals also checks for them at intervals.
        let mine = if is_main_thread() { main_bell() } else { None };
        let mut bell = self.bell();
        if word.load(Ordering::SeqCst) != value {
            return Ok(());
        }
        let Some(mine) = mine else {
            match left {
                Some(left) => drop(self.changed.wait_timeout(bell, left)),
                None => drop(self.changed.wait(bell)),
            }
            return Ok(());
        };
        *bell = Some(Arc::clone(&mine));
        drop(bell);
        let polled = poll([Some(mine.rung())], left);
        drop(self.bell().take());
        // From here on the bell cannot ring. Rings so far were for this sleep.
        mine.quiet()?;
        polled.map(drop)
    }

    /// Wakes every thread that sleeps on `word`.
    pub fn wake_all(&self, _word: &AtomicU32) {
        let bell = self.bell();
        let rung = bell.as_ref().map_or(Ok(()), |bell| bell.ring());
        drop(bell);
        debug_assert!(rung.is_ok());
        self.changed.notify_all();
    }
}

/// The bell of this thread in this process: a forked process shares its parent's bell, and must not
/// take the parent's rings.
fn main_bell() -> Option<Arc<Bell>> {
    thread_local! {
        static BELL: Cell<Option<(u32, Arc<Bell>)>> = const { Cell::new(None) };
    }
    BELL.with(|kept| {
        let process = process_id();
        let mine = kept.take().filter(|(owner, _)| *owner == process);
        let (_, bell) = match mine {
            Some(mine) => mine,
            None => (process, Arc::new(retry(Bell::new).ok()?)),
        };
        kept.set(Some((process, Arc::clone(&bell))));
        Some(bell)
    })
}
