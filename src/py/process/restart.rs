//! What the I/O thread does when a child is dead or must end: it reads the last answers, fails the
//! messages that had begun, and starts the next child or fails the other messages too.

use std::sync::Arc;
use std::time::Instant;

use super::crew::Seat;
use super::inbound::{Event, Over};
use super::outbound::Outbound;
use crate::engine::cell;
use crate::engine::ipc::pipe::Broken;
use crate::py::future::ActorCell;
use crate::py::host::transport::Transport;
use crate::py::message::fault::{Fault, Started};

use super::io_thread::{IoThread, Then};
use super::start::GRACE;

impl IoThread {
    /// Called when the child is dead or must end. Reads what it has left, and starts another if that
    /// is allowed.
    pub(super) fn end(&mut self, over: Over) -> Then {
        self.link.resume_reading_and_ring();
        self.events.extend(self.link.take_left().events);
        if matches!(over, Over::Panicked) {
            self.fail_by_panic();
            return Then::Stop;
        }
        self.link.read_spilled(&mut self.events);
        self.link.settle(&mut self.events);
        // Also without an answer: what fails next must not be known before the last records are.
        self.link.logs.wait();
        let could_not_start = self.is_first && matches!(over, Over::InitFailed(_));
        let is_told_to_end = self.host.force.get().is_some() || self.link.has_stopped();
        if self.restarts.is_none() || could_not_start || is_told_to_end {
            self.give_up(over);
            return Then::Stop;
        }
        self.is_first = false;
        let pid = self.pid();
        let exitcode = self.reap(IfItLives::Kill);
        let fault = match over {
            Over::InitFailed(body) => Fault::InitSent(Arc::new(body)),
            Over::Ended => self.death(pid, exitcode, None),
            Over::Broken(broken) => self.death(pid, exitcode, Some(broken)),
            Over::Panicked => Fault::Panicked,
        };
        // They fail one after the other, and a callback may take long.
        drop(self.link.release_begun());
        let begun = self.link.disconnect();
        self.dispatch_pool();
        let begun = begun.into_iter().map(|cell| (cell, Started::Yes));
        self.host.fail_each(&fault, begun);
        self.start_again(fault)
    }

    /// Starts a child in place of the one that ended by `fault`, if the budget allows that.
    fn start_again(&mut self, fault: Fault) -> Then {
        while let Some(restarts) = &mut self.restarts
            && self.host.force.get().is_none()
            && !self.link.is_drained()
            && restarts.budget.spend(Instant::now())
        {
            let name = &self.host.name;
            self.host.tally.restart();
            log::warn!(target: "futures_actors", "actor {name}: its process has died and is being started again");
            match restarts.start_child(name) {
                Ok((child, ends)) => {
                    self.child = Some(child);
                    self.answers = Arc::clone(ends.reader.handle());
                    self.ended.clone_from(&ends.process.watch);
                    self.link.reconnect(ends);
                    self.end_by_force();
                    return Then::Serve;
                }
                Err(error) => {
                    log::error!(target: "futures_actors", "actor {name}: cannot start a process: {error}");
                }
            }
        }
        self.fail(fault);
        Then::Stop
    }

    /// Signals a new child if `terminate()` or `kill()` was called while there was no child to signal.
    fn end_by_force(&self) {
        if let Some(force) = self.host.force.get()
            && let Err(error) = self.link.signal(force)
        {
            let name = &self.host.name;
            log::error!(target: "futures_actors", "actor {name}: cannot signal its process: {error}");
        }
    }

    /// Reaps the child for good and fails the messages that it leaves behind.
    fn give_up(&mut self, over: Over) {
        let pid = self.pid();
        match over {
            Over::InitFailed(body) => {
                // Before it is reaped: a caller need not wait until the child has ended.
                let outbound = self.fail(Fault::InitSent(Arc::new(body)));
                if self.is_first {
                    self.host.break_pool();
                    self.dispatch_pool();
                }
                self.reap(IfItLives::Kill);
                drop(outbound);
            }
            Over::Ended if self.host.force.get().is_none() && self.link.has_stopped() => {
                self.reap(IfItLives::Wait);
                drop(self.link.close_outbound());
            }
            Over::Ended => {
                let exitcode = self.reap(IfItLives::Kill);
                self.fail(self.death(pid, exitcode, None));
            }
            Over::Broken(broken) => {
                let exitcode = self.reap(IfItLives::Kill);
                self.fail(self.death(pid, exitcode, Some(broken)));
            }
            Over::Panicked => self.fail_by_panic(),
        }
    }

    /// Ends the actor and its child after a panic. What was read and not settled fails too: it may be
    /// what cannot be settled.
    pub(super) fn fail_by_panic(&mut self) {
        let mut outbound = self.link.close_outbound();
        let read = std::mem::take(&mut self.events);
        let read = read.into_iter().flat_map(Event::into_cells);
        let sent = outbound.iter_mut().flat_map(Outbound::take_all);
        let taken = read.chain(sent).map(with_start).collect();
        self.host.fail_by_panic(taken);
        // This tells the child that it must end.
        drop(outbound);
        self.reap(IfItLives::Kill);
    }

    fn death(&self, pid: u32, exitcode: Option<i32>, broken: Option<Broken>) -> Fault {
        Fault::Died {
            pid,
            exitcode,
            broken,
            force: self.host.force.get(),
            has_begun: self.link.has_begun(),
        }
    }

    /// Ends the actor and fails every message that it has not answered. A child that still lives
    /// ends when the caller drops what is returned, which closes its request pipe.
    fn fail(&self, fault: Fault) -> Option<Outbound> {
        // For the other members of its pool: see `end`.
        drop(self.link.release_begun());
        if self.host.force.get().is_none() {
            self.link.hand_on_all();
        }
        let mut outbound = self.link.close_outbound()?;
        let taken = outbound.take_all().into_iter().map(with_start).collect();
        self.host.fail(fault, taken);
        self.dispatch_pool();
        Some(outbound)
    }

    /// Sends on what the pool's other members may handle.
    fn dispatch_pool(&self) {
        if let Some(Seat { crew, .. }) = &self.link.seat {
            crew.dispatch();
            if crew.team.mailbox.is_closed() {
                crew.serve_all();
            }
        }
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// Waits for the child's end and closes the link. `Kill` is for a child whose link is broken: it
    /// would never learn that it must end.
    fn reap(&mut self, if_it_lives: IfItLives) -> Option<i32> {
        // It stays until it is reaped, so that a panic on the way does not lose it.
        let child = self.child.clone()?;
        let reaped = child.reap((if_it_lives == IfItLives::Kill).then_some(GRACE));
        // The child has ended, so no thread that reads in this one's place blocks this for long.
        self.link.close_inbound();
        self.link.forget_process();
        self.child = None;
        reaped.unwrap_or_else(|error| {
            let name = &self.host.name;
            log::error!(target: "futures_actors", "actor {name}: cannot reap its child: {error}");
            None
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfItLives {
    Wait,
    Kill,
}

/// A message, and whether it has begun.
fn with_start(cell: Arc<ActorCell>) -> (Arc<ActorCell>, Started) {
    let started = match cell.phase() {
        cell::Phase::Running => Started::Yes,
        _ => Started::No,
    };
    (cell, started)
}
