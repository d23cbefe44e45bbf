//! The roster of a pool of threads: which members are idle, and how they are woken.
//!
//! Each member takes from a mailbox that all share, and from one of its own. It is idle if it has
//! looked, has found nothing, and could handle something: a thread then sleeps, an event loop may still
//! handle other messages. Invariant at rest: while a message is in the shared mailbox no member is
//! idle, and while one is in a member's own mailbox that member is not.
//!
//! # Why no message is left behind
//! A sender puts its message in first and then calls a member that is idle. A member becomes idle first
//! and then looks into both mailboxes once more before it sleeps. So whichever comes second sees the
//! other. A member that was called and has found something else passes the call on.
//!
//! # Quick messages and the GIL
//! With a GIL, a member that is woken while another handles messages of a microsecond gets the GIL when
//! that one has handled them all. Its wake-up costs more than all of them. So while messages end
//! quickly and a member is at work, senders call no other. Instead one idle member is the lookout: it
//! sleeps for at most `LOOK_INTERVAL`. If no message has ended meanwhile it takes one, and calls the
//! others as usual. If nothing waits either, it sleeps like the others.
//!
//! So the invariant at rest holds: a lookout that has seen a message is not at rest. Until then a
//! message may wait while members are idle, but only as long as others end in a row, and for two
//! intervals after the last of them.

mod progress;
mod turns;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::progress::Progress;
pub use self::turns::{Turn, Turns};
use super::mailbox::Take;
use super::room::Wake;
use super::sync::{Condvar, Mutex};

/// How long the lookout sleeps. A handler that blocks keeps the messages behind it waiting for at most
/// twice as long.
const LOOK_INTERVAL: Duration = Duration::from_micros(500);

pub struct Roster {
    inner: Mutex<Inner>,
    /// How quickly the members handle messages.
    progress: Progress,
    /// One for each member: wakes it when it has been called.
    bells: Vec<Bell>,
}

#[derive(Default)]
struct Bell {
    /// Wakes a thread.
    condvar: Condvar,
    /// Wakes an event loop. Set before the member looks for the first time.
    event_loop: OnceLock<Arc<dyn Wake>>,
}

impl Bell {
    /// The caller must not hold a lock.
    fn ring(&self) {
        match self.event_loop.get() {
            Some(event_loop) => event_loop.wake(),
            None => self.condvar.notify_one(),
        }
    }
}

struct Inner {
    /// The idle members, the last to become idle last.
    idle: Vec<usize>,
    is_idle: Vec<bool>,
    /// Which members have looked into the mailboxes after they became idle, and sleep.
    is_asleep: Vec<bool>,
    /// Which members were called and have not looked since then.
    is_called: Vec<bool>,
    /// How many messages each handled when it became idle.
    running: Vec<usize>,
    /// Which members have been called since they were idle, and have not kept the lookout waiting.
    is_at_work: Vec<bool>,
    /// The idle member that looks into the mailboxes by itself.
    lookout: Option<usize>,
}

impl Inner {
    /// Calls an idle member.
    fn call(&mut self, member: usize) -> bool {
        let was_idle = self.remove(member);
        self.is_called[member] |= was_idle;
        self.is_at_work[member] |= was_idle;
        was_idle
    }

    fn remove(&mut self, member: usize) -> bool {
        let was_idle = std::mem::take(&mut self.is_idle[member]);
        if was_idle {
            self.idle.retain(|idle| *idle != member);
        }
        if self.lookout == Some(member) {
            self.lookout = None;
            // Senders have relied on it, so it must pass that on.
            self.is_called[member] = true;
        }
        was_idle
    }

    /// The idle member with the least to do, and of several the last to become idle: its data may still
    /// be in a cache.
    fn freest(&self) -> Option<usize> {
        let last_first = self.idle.iter().rev();
        last_first
            .min_by_key(|member| self.running[**member])
            .copied()
    }
}

impl Roster {
    pub fn new(members: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                idle: Vec::with_capacity(members),
                is_idle: vec![false; members],
                is_asleep: vec![false; members],
                is_called: vec![false; members],
                running: vec![0; members],
                is_at_work: vec![false; members],
                lookout: None,
            }),
            progress: Progress::default(),
            bells: (0..members).map(|_| Bell::default()).collect(),
        }
    }

    /// Says how to wake a member that runs an event loop and takes by `try_take`. Call it once, before
    /// the member looks for the first time.
    pub fn wake_by(&self, member: usize, event_loop: Arc<dyn Wake>) {
        // It is called once, so `set` cannot fail.
        drop(self.bells[member].event_loop.set(event_loop));
    }

    /// For a member that is a thread and needs the GIL: one of its messages has ended, and took so long.
    pub fn ended(&self, nanos: u64) {
        self.progress.ended(nanos);
    }

    /// Whether the last messages were so quick that one member is enough.
    pub fn is_quick(&self) -> bool {
        self.progress.is_quick()
    }

    /// Has an idle member look into the shared mailbox, if there is one: at once, or as the lookout.
    /// Called when a message is in there. The caller must not hold a lock.
    pub fn call_any(&self) {
        let mut inner = self.inner.lock();
        let Some(member) = inner.freest() else {
            drop(inner);
            return self.ring_again();
        };
        if self.progress.is_quick() && inner.is_at_work.contains(&true) {
            if inner.lookout.is_none() {
                inner.lookout = Some(member);
                drop(inner);
                self.bells[member].ring();
            }
            return;
        }
        // An event loop that handles messages may stand still in one of them. Then another one that has
        // a free place must get this message.
        let may_stand_still = inner.running[member] > 0;
        let others = if may_stand_still {
            std::mem::take(&mut inner.idle)
        } else {
            Vec::new()
        };
        inner.call(member);
        for other in &others {
            inner.call(*other);
        }
        drop(inner);
        self.bells[member].ring();
        for other in others.into_iter().filter(|other| *other != member) {
            self.bells[other].ring();
        }
    }

    /// A member that was called may not have been woken yet: the thread that does that may be
    /// interrupted by the handler of a signal, which is what calls this, and may wait for a message. An
    /// event loop that needs no wake-up ignores it.
    fn ring_again(&self) {
        for event_loop in self.bells.iter().filter_map(|bell| bell.event_loop.get()) {
            event_loop.wake();
        }
    }

    /// Wakes this member, if it is idle. Called when a message is in its own mailbox, and when a
    /// mailbox was closed. The caller must not hold a lock.
    pub fn call(&self, member: usize) {
        let was_idle = self.inner.lock().call(member);
        if was_idle {
            self.bells[member].ring();
        }
    }

    /// For a member: blocks until `take` has found something. `None` if nothing will come.
    ///
    /// `take` looks into both mailboxes, without blocking; `shares` says whether a message is in the
    /// shared one.
    pub fn take<T>(
        &self,
        member: usize,
        mut take: impl FnMut() -> Take<T>,
        shares: impl Fn() -> bool,
    ) -> Option<T> {
        let mut was_called = false;
        let found = loop {
            let found = take();
            if !matches!(found, Take::Empty) {
                break found;
            }
            self.become_idle(member, 0);
            let found = take();
            if !matches!(found, Take::Empty) {
                was_called = self.stop_idling(member);
                break found;
            }
            let woken = self.sleep(member);
            was_called = self.stop_idling(member);
            if woken == Woken::ByItself && shares() {
                self.rely_on_nobody();
            }
        };
        self.pass_on(was_called, shares);
        match found {
            Take::Item(item) => Some(item),
            _ => None,
        }
    }

    /// Like `take`, for a member that must not block and has a free place: an event loop that handles
    /// `running` messages now. If this returns `Empty`, the member is idle, and woken when it is called.
    /// `sleep` is called before the last look: from then on the loop needs a wake-up.
    pub fn try_take<T>(
        &self,
        member: usize,
        running: usize,
        mut take: impl FnMut() -> Take<T>,
        shares: impl Fn() -> bool,
        sleep: impl FnOnce(),
    ) -> Take<T> {
        let mut was_called = self.stop_idling(member);
        let mut found = take();
        if matches!(found, Take::Empty) {
            sleep();
            self.become_idle(member, running);
            found = take();
            if matches!(found, Take::Empty) {
                return found;
            }
            was_called |= self.stop_idling(member);
        }
        self.pass_on(was_called, shares);
        found
    }

    /// A member has found something. The call may have been for a message that another one can have.
    fn pass_on(&self, was_called: bool, shares: impl Fn() -> bool) {
        if was_called && shares() {
            self.call_any();
        }
    }

    /// Whether the member sleeps until it is called. One that has found a message after it became idle
    /// does not.
    pub fn is_asleep(&self, member: usize) -> bool {
        let inner = self.inner.lock();
        inner.is_idle[member] && inner.is_asleep[member]
    }

    fn become_idle(&self, member: usize, running: usize) {
        let mut inner = self.inner.lock();
        inner.is_idle[member] = true;
        inner.is_at_work[member] = false;
        inner.running[member] = running;
        inner.idle.push(member);
    }

    /// The member looks, or has found something. Returns whether it was called while it was idle.
    fn stop_idling(&self, member: usize) -> bool {
        let mut inner = self.inner.lock();
        inner.remove(member);
        std::mem::take(&mut inner.is_called[member])
    }

    /// Sleeps until the member is called or, as the lookout, until no message has ended for a while.
    fn sleep(&self, member: usize) -> Woken {
        let mut woken = Woken::ByCall;
        let mut inner = self.inner.lock();
        inner.is_asleep[member] = true;
        while inner.is_idle[member] {
            let bell = &self.bells[member].condvar;
            if inner.lookout != Some(member) {
                inner = bell.wait(inner);
                continue;
            }
            let before = self.progress.count();
            let has_passed;
            (inner, has_passed) = bell.wait_for(&self.inner, inner, LOOK_INTERVAL);
            if has_passed && inner.lookout == Some(member) && self.progress.count() == before {
                inner.remove(member);
                woken = Woken::ByItself;
            }
        }
        inner.is_asleep[member] = false;
        woken
    }

    /// A message waits although no other has ended for a while: those that are at work may be for long.
    fn rely_on_nobody(&self) {
        self.progress.stalled();
        self.inner.lock().is_at_work.fill(false);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    ByCall,
    /// It was the lookout.
    ByItself,
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
