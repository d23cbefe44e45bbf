//! The sending side of a link: what goes ahead to the child, and what stands for it here meanwhile.
//!
//! Everything here is used under the lock that [`Link`] keeps it behind, but for a [`Ticket`], which
//! is in its message's cell. No call blocks, and none calls Python.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::future::ActorCell;
use super::lifecycle;
use super::link::Link;
use super::message::Message;
use super::packet::Few;
use crate::engine::frame::{Kind, encode, renumber};
use crate::engine::link::{Flush, Writer};
use crate::engine::mailbox::Take;
use crate::engine::packet::Reference;
use crate::engine::room::Permit;
use crate::engine::shared::Shared;
use crate::engine::sys::Bell;
use crate::engine::window::Window;

/// A message that the child has, in place of the message.
pub(super) struct Ticket {
    link: Arc<Link>,
    /// With the child that has it, whichever the link has now.
    shared: Arc<Shared>,
    sequence: u64,
    pub(super) is_told: bool,
    /// Its place in a bounded mailbox, until it is known to have begun.
    pub(super) permit: Option<Permit>,
    /// What the frame refers to: the child's once it claims the message, and until then ours.
    references: Few<Reference>,
    is_withdrawn: AtomicBool,
    /// The message, for another child should this one die: where an actor is started again.
    pub(super) kept: Option<Box<Message>>,
}

impl Ticket {
    /// What the frame refers to is freed when the ticket is dropped: here its cell is locked.
    pub(super) fn withdraw(&self) -> bool {
        let withdrawn = self.shared.claims().withdraw(self.sequence);
        if withdrawn {
            self.is_withdrawn.store(true, Ordering::SeqCst);
        }
        withdrawn
    }

    pub(super) fn has_references(&self) -> bool {
        self.references.is_some()
    }

    pub(super) fn has_begun(&self) -> bool {
        self.shared.claims().has_started(self.sequence)
    }

    /// Where the answer comes from, and to which number. `None` in a process that `os.fork` made:
    /// there nobody lets go of the link's locks, and its descriptors and memory are still the other
    /// process's.
    pub(super) fn link(&self) -> Option<(Arc<Link>, u64)> {
        let is_ours = self.link.generation == lifecycle::generation();
        is_ours.then(|| (Arc::clone(&self.link), self.sequence))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(references) = &self.references
            && self.is_withdrawn.load(Ordering::SeqCst)
        {
            let arena = self.link.arena();
            let references = references.iter();
            references.for_each(|reference| arena.free(*reference));
        }
    }
}

/// A message that has been sent and not yet answered.
pub(super) struct Ahead {
    pub(super) cell: Arc<ActorCell>,
    /// Then nothing need come from the child when it has been handled.
    pub(super) is_told: bool,
}

/// The sending side. Who has a message to send writes it, without a hop to another thread; the I/O
/// thread writes what the pipe did not take.
pub(super) struct Wire {
    /// `None` while the child is dead and the next is not there.
    pub(super) out: Option<Out>,
    /// Rung when the I/O thread has to look at the link.
    pub(super) bell: Arc<Bell>,
    /// What the child has.
    pub(super) ahead: Window<Ahead>,
    /// What a dead child had and has not begun: goes before what is in the mailbox.
    pub(super) returned: VecDeque<Arc<ActorCell>>,
    pub(super) phase: Phase,
    /// Messages that the child skips, and that fail when it has ended.
    pub(super) revoked: Vec<Arc<ActorCell>>,
}

/// The way to one child.
pub(super) struct Out {
    pub(super) writer: Writer,
    pub(super) shared: Arc<Shared>,
    /// The child reads no more: it is gone, or is about to be.
    pub(super) has_hung_up: bool,
    /// The child has been told that there is no more.
    is_told: bool,
}

impl Out {
    pub(super) fn new(writer: Writer, shared: &Arc<Shared>) -> Self {
        Self {
            writer,
            shared: Arc::clone(shared),
            has_hung_up: false,
            is_told: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The child has been told that there is no more, or is about to be.
    Stopping,
}

impl Wire {
    pub(super) fn new(out: Out, bell: Arc<Bell>) -> Self {
        Self {
            out: Some(out),
            bell,
            ahead: Window::default(),
            returned: VecDeque::new(),
            phase: Phase::Open,
            revoked: Vec::new(),
        }
    }

    /// Tells the child that there is no more.
    pub(super) fn stop(&mut self) {
        if let Some(out) = &mut self.out
            && !out.is_told
        {
            out.writer.push(encode(Kind::Stop, 0, b""));
            out.is_told = true;
            self.phase = Phase::Stopping;
        }
    }

    /// Sends from the mailbox while fewer than `limit` messages are ahead.
    pub(super) fn pump(&mut self, link: &Arc<Link>, limit: usize) -> Flush {
        while self.phase == Phase::Open && self.out.is_some() && self.ahead.has_room(limit) {
            let next = match self.returned.pop_front() {
                Some(cell) => Take::Item(cell),
                None => link.mailbox.try_take(),
            };
            match next {
                Take::Item(cell) => self.send(link, cell),
                Take::Closed => self.stop(),
                Take::Empty => break,
            }
        }
        match &mut self.out {
            // The child is gone, or the system is short of something: the I/O thread finds out.
            Some(out) if !out.has_hung_up => out.writer.flush().unwrap_or(Flush::Blocked),
            _ => Flush::Done,
        }
    }

    fn send(&mut self, link: &Arc<Link>, cell: Arc<ActorCell>) {
        let Some(out) = &mut self.out else { return };
        let sequence = self.ahead.next_sequence();
        // Before anybody can withdraw it, and before the child can see it.
        out.shared.claims().offer(sequence);
        let (link, shared) = (Arc::clone(link), Arc::clone(&out.shared));
        let sent = cell.exchange(|message| {
            let (message, permit) = match message {
                Message::Bounded(message, permit) => (*message, Some(permit)),
                message => (message, None),
            };
            let kept = if link.keeps {
                message.duplicate()
            } else {
                None
            };
            let ticket = Ticket {
                link,
                shared,
                sequence,
                is_told: message.is_told(),
                references: message.references(),
                is_withdrawn: AtomicBool::new(false),
                permit,
                kept: kept.map(Box::new),
            };
            (Message::Ticket(ticket), message)
        });
        let Some(Message::Frame(packed)) = sent else {
            return;
        };
        let kind = packed.kind;
        let mut frame = packed.into_frame();
        renumber(&mut frame, kind, sequence);
        let is_told = kind == Kind::Told;
        self.ahead.enter(frame.len(), Ahead { cell, is_told });
        out.writer.push(frame);
    }

    /// Takes out what was told and is older than `sequence`, which the child has come to.
    pub(super) fn pass_told(&mut self, sequence: u64) -> Vec<Arc<ActorCell>> {
        let mut passed = Vec::new();
        while let Some((oldest, ahead)) = self.ahead.oldest()
            && ahead.is_told
            && oldest < sequence
        {
            passed.extend(self.ahead.leave(oldest).ok().map(|ahead| ahead.cell));
        }
        passed
    }
}
