//! Where the actor's thread, or its event loop, gets its messages: from its own mailbox, and in a pool
//! also from that of the pool.

use std::sync::Arc;

use crate::engine::handoff::{Awaited, Handoff};
use crate::engine::latch::Latch;
use crate::engine::mailbox::Take;
use crate::engine::roster::Turns;
use crate::engine::sys;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::host::team::Team;
use crate::py::interpreter::rest;

/// A member's seat in a pool of several threads.
#[derive(Clone)]
pub(in crate::py) struct Seat {
    pub(in crate::py) team: Arc<Team>,
    pub(in crate::py) index: usize,
}

/// Where a thread gets its messages.
pub(super) enum Source {
    /// From the mailbox of its host.
    Alone,
    /// From that, and from the mailbox of its pool.
    Member(Seat, Turns),
}

impl Source {
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Member(..))
    }

    pub(super) fn try_take(&mut self, host: &Host) -> Take<Arc<ActorCell>> {
        match self {
            Self::Alone => host.mailbox.try_take(),
            Self::Member(seat, turns) => take_as_member(host, &seat.team, turns),
        }
    }

    /// Whether there may be a message to take.
    pub(super) fn is_worth_a_look(&self, host: &Host) -> bool {
        let has_pools = match self {
            Self::Alone => false,
            Self::Member(seat, _) => seat.team.mailbox.is_worth_a_look(),
        };
        has_pools || host.mailbox.is_worth_a_look()
    }

    /// A message has ended that began at the time `since`, by `sys::now_nanos`.
    pub(super) fn ended(&self, has_gil: bool, since: u64) {
        // Without a GIL other members can run at the same time, however quick the messages are. On
        // Windows a timed wait may last 16 ms, and so long a message would wait for the lookout.
        if let Self::Member(seat, _) = self
            && has_gil
            && !cfg!(windows)
        {
            seat.team.roster.ended(sys::now_nanos() - since);
        }
    }

    /// For an event loop that has a free place: takes without blocking. If there is nothing, the loop
    /// must be woken from the call of `sleep` on.
    pub(super) fn try_take_or(
        &mut self,
        host: &Host,
        sleep: impl FnOnce(),
    ) -> Take<Arc<ActorCell>> {
        match self {
            Self::Alone => match host.mailbox.try_take() {
                Take::Empty => {
                    sleep();
                    host.mailbox.try_take()
                }
                taken => taken,
            },
            Self::Member(Seat { team, index }, turns) => {
                let running = host.tally.running();
                let take = || {
                    // Nothing begins before the constructors have returned. Then all look again.
                    let is_closed = host.mailbox.is_closed() && team.mailbox.is_closed();
                    if team.opened.is_set()
                        || is_closed && host.mailbox.is_empty() && team.mailbox.is_empty()
                    {
                        take_as_member(host, team, turns)
                    } else {
                        Take::Empty
                    }
                };
                let shares = || !team.mailbox.is_empty();
                team.roster.try_take(*index, running, take, shares, sleep)
            }
        }
    }

    /// Blocks until there is a message. `None` if there will be none. Call it detached.
    pub(super) fn wait(
        &mut self,
        host: &Host,
        awaited: Awaited,
        has_gil: bool,
    ) -> Option<Arc<ActorCell>> {
        rest::comes_to_rest();
        let Self::Member(seat, _) = self else {
            return wait_alone(host, awaited, has_gil, || host.mailbox.take());
        };
        let Seat { team, index } = seat.clone();
        let shares = || !team.mailbox.is_empty();
        let mut sleep = || team.roster.take(index, || self.try_take(host), shares);
        // Other members would be woken for what this one finds.
        if !team.roster.is_quick() {
            return sleep();
        }
        let poll = || {
            if host.mailbox.is_worth_a_look() || team.mailbox.is_worth_a_look() {
                take_as_member(host, &team, &mut Turns::default())
            } else {
                Take::Empty
            }
        };
        let handoff = &team.tally.handoff;
        handoff.wait_for_message(awaited, latch(has_gil), poll, sleep)
    }

    /// For an event loop that has nothing to do: waits for a moment, if a message is likely to come in
    /// it. Call it detached.
    pub(super) fn wait_for_a_moment(
        &self,
        host: &Host,
        awaited: Awaited,
        has_gil: bool,
    ) -> Option<Arc<ActorCell>> {
        match self {
            Self::Alone => {
                host.tally.handoff.set_busy(false);
                wait_alone(host, awaited, has_gil, || None)
            }
            Self::Member(..) => None,
        }
    }

    /// How callers and this thread wait for each other.
    pub(super) fn handoff<'a>(&'a self, host: &'a Host) -> &'a Handoff {
        match self {
            Self::Alone => &host.tally.handoff,
            Self::Member(seat, _) => &seat.team.tally.handoff,
        }
    }
}

/// Polls the mailbox of an actor that is in no pool, and then sleeps.
fn wait_alone(
    host: &Host,
    awaited: Awaited,
    has_gil: bool,
    sleep: impl FnOnce() -> Option<Arc<ActorCell>>,
) -> Option<Arc<ActorCell>> {
    let poll = || host.mailbox.poll();
    let handoff = &host.tally.handoff;
    handoff.wait_for_message(awaited, latch(has_gil), poll, sleep)
}

/// How to get the latch of a message, with a GIL.
fn latch(has_gil: bool) -> Option<impl Fn(&Arc<ActorCell>) -> &Latch> {
    fn done(cell: &Arc<ActorCell>) -> &Latch {
        cell.done()
    }
    has_gil.then_some(done as fn(&Arc<ActorCell>) -> &Latch)
}

fn take_as_member(host: &Host, team: &Team, turns: &mut Turns) -> Take<Arc<ActorCell>> {
    // What the pool has is not for it any more, and what itself had has failed.
    if host.force.get().is_some() {
        return Take::Closed;
    }
    turns.try_take(&host.mailbox, &team.mailbox)
}
