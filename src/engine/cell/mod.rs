//! The settle-once state machine behind a future.
//!
//! Posting makes a cell, which the poster's future and the actor's engine share. Every transition is
//! one function below, under the cell's only lock. No Python is called and nothing is dropped under
//! that lock: dropping a message may run Python code. The type parameters keep Python out: `M` is the
//! message, `R` the outcome, `W` what else watches the cell (callbacks and their future). `W` is
//! served attached to Python; code that needs no Python watches by [`Cell::on_end`].

mod state;
mod transition;

use std::sync::PoisonError;

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use self::state::State;
pub use self::state::{Claimable, Ending, Origin, Phase};
pub use self::transition::{Begin, Cancel, Hold, Settle};
use super::latch::Latch;
use super::sync::{AtomicBool, Ordering};

/// What [`Cell::on_end`] is given.
type Watcher<M, R, W> = Box<dyn FnOnce(&Cell<M, R, W>) + Send>;

struct Watchers<M, R, W>(Vec<Watcher<M, R, W>>);

struct Inner<M, R, W> {
    state: State<M, R>,
    watch: Option<Box<W>>,
    /// Taken by the transition that makes the cell done, so each is called once. In a box of their
    /// own, because few cells have any.
    watchers: Option<Box<Watchers<M, R, W>>>,
}

pub struct Cell<M, R, W> {
    inner: Mutex<Inner<M, R, W>>,
    /// Set after the state is done, by the thread that did it.
    done: Latch,
    /// Set when the watch has been served too; together with `done` if there was none. A thread
    /// that `done` has woken can wait for this to give the callbacks a head start, but only for a
    /// limited time: a callback may itself wait for that thread.
    served: Latch,
    // The flags are beside `inner`, and not in it, where they would make each cell 8 bytes larger.
    /// An engine has it and will end it. Otherwise the code that made the future must end it. Read and
    /// written under the lock.
    posted: AtomicBool,
    /// The future's condition variable is known outside, so the cell must be settled with that
    /// held: see [`Hold`]. Once set it stays. Read and written under the lock.
    condition_exposed: AtomicBool,
    /// Whether it has been asked to stop while it ran. Set under the lock, and stays.
    asked: AtomicBool,
    /// Whether its end has been counted. Only the engine that ends it writes this.
    counted: AtomicBool,
}

impl<M, R, W> Default for Cell<M, R, W> {
    /// A pending cell without a message.
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                state: State::Pending(None),
                watch: None,
                watchers: None,
            }),
            done: Latch::default(),
            served: Latch::default(),
            posted: AtomicBool::new(false),
            condition_exposed: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            counted: AtomicBool::new(false),
        }
    }
}

impl<M: Claimable, R: Ending, W> Cell<M, R, W> {
    fn lock(&self) -> MutexGuard<'_, Inner<M, R, W>> {
        // No code that can panic runs under the lock, so poison can be ignored.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Call it with the lock.
    fn origin(&self) -> Origin {
        if self.posted.load(Ordering::Relaxed) {
            Origin::Posted
        } else {
            Origin::Bare
        }
    }

    /// Whether a thread with `hold` must not end it. Call it with the lock.
    fn needs_condition(&self, hold: Hold) -> bool {
        hold != Hold::Condition && self.condition_exposed.load(Ordering::Relaxed)
    }

    /// Gives a new cell its message. Call it before the cell is shared with an engine.
    #[expect(clippy::inline_always, reason = "it moves every message")]
    #[inline(always)]
    pub fn post(&self, message: M) {
        let mut inner = self.lock();
        debug_assert!(matches!(inner.state, State::Pending(None)));
        if let State::Pending(slot) = &mut inner.state {
            *slot = Some(message);
        }
        self.posted.store(true, Ordering::Relaxed);
    }

    pub fn phase(&self) -> Phase {
        self.lock().state.phase()
    }

    pub fn done(&self) -> &Latch {
        &self.done
    }

    /// The caller that got the watch from this cell sets it once the watch is served.
    pub fn served(&self) -> &Latch {
        &self.served
    }

    /// Says that the state is done. `served` comes first, so that a thread that finds `done` set
    /// also finds `served` set if there was no watch.
    fn announce(&self, watch: Option<&W>, watchers: Option<Box<Watchers<M, R, W>>>) {
        if watch.is_none() {
            self.served.set();
        }
        self.done.set();
        for watcher in watchers.into_iter().flat_map(|watchers| watchers.0) {
            watcher(self);
        }
    }

    /// Pending -> Running, by the engine that takes the message.
    #[expect(clippy::inline_always, reason = "it moves every message")]
    #[inline(always)]
    pub fn begin(&self) -> Begin<M> {
        let mut inner = self.lock();
        match std::mem::replace(&mut inner.state, State::Running(None)) {
            State::Pending(Some(message)) => Begin::Message(message),
            other => {
                inner.state = other;
                Begin::Gone
            }
        }
    }

    /// Pending -> Pending, with another message in place of the message: a ticket, when the engine
    /// sends it to a child. Then the ticket's claim decides whether it begins. Runs `exchange` under
    /// the lock, with the restrictions of [`watch`], and returns its second result.
    ///
    /// [`watch`]: Self::watch
    pub fn exchange<T>(&self, exchange: impl FnOnce(M) -> (M, T)) -> Option<T> {
        let State::Pending(slot) = &mut self.lock().state else {
            return None;
        };
        let (message, more) = exchange(slot.take()?);
        *slot = Some(message);
        Some(more)
    }

    /// Pending -> Pending, with `revoked` in place of the message, if the message has not begun.
    /// Then it never will, and it is returned.
    pub fn revoke(&self, revoked: M) -> Option<M> {
        match &mut self.lock().state {
            State::Pending(Some(message)) if message.withdraw() => {
                Some(std::mem::replace(message, revoked))
            }
            _ => None,
        }
    }

    /// Pending | Running -> Finished or Stopped, by any thread.
    pub fn settle(&self, outcome: R, hold: Hold) -> Settle<R, W> {
        let mut inner = self.lock();
        if inner.state.phase().is_done() {
            return Settle::TooLate(outcome);
        }
        if inner.watch.is_some() && hold == Hold::Nothing {
            return Settle::NeedsAttached(outcome);
        }
        if self.needs_condition(hold) {
            return Settle::NeedsCondition(outcome);
        }
        let next = if outcome.is_cancellation() {
            State::Stopped
        } else {
            State::Finished(outcome)
        };
        let before = std::mem::replace(&mut inner.state, next);
        let (watch, watchers) = (inner.watch.take(), inner.watchers.take());
        drop(inner);
        self.announce(watch.as_deref(), watchers);
        drop(before);
        Settle::Settled(watch)
    }

    /// Pending -> Notified if posted, else Pending -> Cancelled, by the code that has the future.
    pub fn cancel(&self, hold: Hold) -> Cancel<M, W> {
        let mut inner = self.lock();
        let needs_condition = self.needs_condition(hold);
        let message = match &mut inner.state {
            State::Pending(_) if needs_condition => return Cancel::NeedsCondition,
            State::Pending(Some(message)) if !message.withdraw() => return Cancel::TooLate,
            State::Pending(message) => message.take(),
            State::Cancelled | State::Notified => return Cancel::Already,
            State::Running(_) | State::Stopped | State::Finished(_) => return Cancel::TooLate,
        };
        inner.state = match self.origin() {
            Origin::Posted => State::Notified,
            Origin::Bare => State::Cancelled,
        };
        let (watch, watchers) = (inner.watch.take(), inner.watchers.take());
        drop(inner);
        self.announce(watch.as_deref(), watchers);
        Cancel::Cancelled { message, watch }
    }

    /// Asks a message that runs to stop, by any thread, as often as it likes. False: it does not run.
    /// Runs what the engine has left for that, without the lock.
    pub fn request(&self) -> bool {
        let mut inner = self.lock();
        let hook = match &mut inner.state {
            State::Running(hook) => hook.take(),
            State::Pending(Some(message)) if message.ask() => None,
            _ => return false,
        };
        self.asked.store(true, Ordering::SeqCst);
        drop(inner);
        if let Some(hook) = hook {
            hook();
        }
        true
    }

    /// Runs `hook` when the message, which runs, is asked to stop: once, by the thread that asks and
    /// without the lock; or now, if it was asked before. For the engine that has begun the message.
    /// `hook` must be quick.
    pub fn on_request(&self, hook: impl FnOnce() + Send + 'static) {
        let mut inner = self.lock();
        if self.was_asked() {
            drop(inner);
            hook();
        } else if let State::Running(slot) = &mut inner.state {
            *slot = Some(Box::new(hook));
        }
    }

    /// Whether it has been asked to stop while it ran. It stays so.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Whether its end was not counted before; from now on it is. Only for the engine that ends it:
    /// one thread after the other, so this needs no order of its own.
    pub fn count(&self) -> bool {
        let is_first = !self.counted.load(Ordering::Relaxed);
        self.counted.store(true, Ordering::Relaxed);
        is_first
    }

    /// Pending -> Running or Cancelled -> Notified: what `set_running_or_notify_cancel` asks for.
    /// Returns the phase it found; any other phase than these two is left as it is.
    pub fn advance(&self) -> Phase {
        let mut inner = self.lock();
        let found = inner.state.phase();
        let next = match found {
            Phase::Pending => State::Running(None),
            Phase::Cancelled => State::Notified,
            _ => return found,
        };
        let before = std::mem::replace(&mut inner.state, next);
        drop(inner);
        drop(before);
        found
    }

    /// Runs `look` on the message under the lock, if it has not begun in this process, with the
    /// restrictions of [`watch`].
    ///
    /// [`watch`]: Self::watch
    pub fn message<T>(&self, look: impl FnOnce(&mut M) -> T) -> Option<T> {
        match &mut self.lock().state {
            State::Pending(Some(message)) => Some(look(message)),
            _ => None,
        }
    }

    /// From now on only a thread that holds the condition may end this cell. In the same step, runs
    /// `publish`, which makes the condition visible to other threads. So a thread that has it and
    /// finds the cell pending will be notified of the end. Runs `edit` as [`watch`] does, whose
    /// restrictions also hold for `publish`.
    ///
    /// [`watch`]: Self::watch
    pub fn expose_condition(
        &self,
        publish: impl FnOnce(),
        edit: impl FnOnce(Origin, &mut Option<Box<W>>),
    ) {
        let mut inner = self.lock();
        self.condition_exposed.store(true, Ordering::Relaxed);
        publish();
        if !inner.state.phase().is_done() {
            edit(self.origin(), &mut inner.watch);
        }
    }

    /// Whether a thread that ends it now must be attached, or hold the condition.
    pub fn needs_python(&self) -> bool {
        let inner = self.lock();
        inner.watch.is_some() || self.needs_condition(Hold::Nothing)
    }

    /// Runs `edit` on the watch under the lock, unless the cell is done. `edit` must neither call
    /// Python nor drop a Python object.
    pub fn watch<T>(&self, edit: impl FnOnce(Origin, &mut Option<Box<W>>) -> T) -> Option<T> {
        let mut inner = self.lock();
        (!inner.state.phase().is_done()).then(|| edit(self.origin(), &mut inner.watch))
    }

    /// Calls `watcher` when the cell is done: once, however it ends, by the thread that ends it and
    /// without the lock; or now, if it is done already. Needs no Python, so a thread that is not
    /// attached can end a cell that has only such watchers.
    ///
    /// That thread may be attached, and may hold the future's condition. So `watcher` must not call
    /// Python, and must be quick. Callbacks run after it. It may find the outcome cleared if the
    /// cell has a future, which may be gone by then.
    pub fn on_end(&self, watcher: impl FnOnce(&Self) + Send + 'static) {
        let mut inner = self.lock();
        if inner.state.phase().is_done() {
            drop(inner);
            watcher(self);
            return;
        }
        let empty = || Box::new(Watchers(Vec::new()));
        let watchers = inner.watchers.get_or_insert_with(empty);
        watchers.0.push(Box::new(watcher));
    }

    /// Takes out the outcome and the watch, for a future that is dropped.
    pub fn clear(&self, nothing: R) -> (Option<R>, Option<Box<W>>) {
        let mut inner = self.lock();
        let outcome = match &mut inner.state {
            State::Finished(outcome) => Some(std::mem::replace(outcome, nothing)),
            _ => None,
        };
        (outcome, inner.watch.take())
    }

    /// Runs `edit` on the outcome under the lock, if there is one, with the restrictions of
    /// [`watch`].
    ///
    /// [`watch`]: Self::watch
    pub fn outcome<T>(&self, edit: impl FnOnce(&mut R) -> T) -> Option<T> {
        match &mut self.lock().state {
            State::Finished(outcome) => Some(edit(outcome)),
            _ => None,
        }
    }

    /// Puts the cell into any phase, for code that assigns to a future's `_state`. Returns the
    /// outcome that was there, for the caller to drop.
    pub fn force(&self, phase: Phase, outcome: impl FnOnce() -> R) -> Option<R> {
        let next = match phase {
            Phase::Pending => State::Pending(None),
            Phase::Running => State::Running(None),
            Phase::Cancelled => State::Cancelled,
            Phase::Notified => State::Notified,
            Phase::Stopped => State::Stopped,
            Phase::Finished => State::Finished(outcome()),
        };
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.state, next);
        let watchers = inner.watchers.take_if(|_| phase.is_done());
        drop(inner);
        if phase.is_done() {
            self.announce(None, watchers);
        }
        match before {
            State::Finished(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Shows the outcome and the watch to the garbage collector, which must neither wait nor see a
    /// half-changed state. So it shows nothing while another thread has the lock.
    #[cfg(not(loom))]
    pub fn inspect<E>(
        &self,
        visit: impl FnOnce(Option<&R>, Option<&W>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Ok(inner) = self.inner.try_lock() else {
            return Ok(());
        };
        let outcome = match &inner.state {
            State::Finished(outcome) => Some(outcome),
            _ => None,
        };
        visit(outcome, inner.watch.as_deref())
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

/// Run with `RUSTFLAGS="--cfg loom" cargo test --no-default-features --release --lib loom`.
#[cfg(all(test, loom))]
mod loom_tests;
