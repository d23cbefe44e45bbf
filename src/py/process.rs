//! The process actor, in the parent: a child, two pipes, and a thread that moves frames between
//! them and cells.
//!
//! Messages go ahead to the child, as many as the window has room for; who gets one of those, a
//! `cancel()` here or `handle` there, is decided by its claim. The I/O thread touches Python only
//! to run callbacks and to reap the child.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;

use super::error::{Fault, Sealed, Started};
use super::future::{self, ActorCell, Message, Outcome};
use super::host::{ExecutorCore, Host, Transport};
use super::{imports, pickle};
use crate::engine::cell::{self, Begin};
use crate::engine::claims::SLOTS;
use crate::engine::frame::{Frame, Kind, encode, renumber};
use crate::engine::link::{Broken, Fill, Flush, Reader, Writer};
use crate::engine::mailbox::Take;
use crate::engine::shared::Shared;
use crate::engine::sys::{self, Bell, Interest};

/// How many messages may be ahead at most: each has a claim's slot.
const WINDOW_MESSAGES: usize = SLOTS;
/// How many bytes of messages may be ahead, unless it is one message.
const WINDOW_BYTES: usize = 1 << 20;
/// With so many ahead, who posts leaves the writing to the I/O thread, which fills the window with
/// few writes as answers come in: a child that has so much to do does not wait for more.
const AHEAD_BY_POSTING: usize = 16;

/// A message that the child has, in place of the message.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    sequence: u64,
}

impl Ticket {
    pub(super) fn withdraw(&self) -> bool {
        self.shared.claims().withdraw(self.sequence)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.shared.claims().has_started(self.sequence)
    }
}

/// A message that has been sent and not yet answered.
struct Ahead {
    sequence: u64,
    len_bytes: usize,
    cell: Arc<ActorCell>,
}

/// The parent's sending side. Who has a message to send writes it, without a hop to another
/// thread; the I/O thread writes what the pipe did not take.
struct Wire {
    writer: Writer,
    /// Rung when the I/O thread has to look at the wire.
    bell: Arc<Bell>,
    shared: Arc<Shared>,
    /// What the child has, oldest first. Invariant: sequence numbers go up by one, and at most
    /// `WINDOW_MESSAGES` are here, so that each has a slot of its own.
    ahead: VecDeque<Ahead>,
    ahead_bytes: usize,
    next_sequence: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The child has been told that there is no more.
    Stopping,
}

impl Wire {
    /// Sends from the mailbox while fewer than `limit` messages are ahead.
    fn pump(&mut self, host: &Host, limit: usize) -> Flush {
        while self.phase == Phase::Open && self.has_room(limit) {
            match host.mailbox.try_take() {
                Take::Item(cell) => self.send(cell),
                Take::Closed => {
                    self.writer.push(encode(Kind::Stop, 0, b""));
                    self.phase = Phase::Stopping;
                }
                Take::Empty => break,
            }
        }
        // On an error the child is gone: the I/O thread sees that by itself, and says why.
        self.writer.flush().unwrap_or(Flush::Done)
    }

    fn has_room(&self, limit: usize) -> bool {
        self.ahead.len() < limit && (self.ahead_bytes < WINDOW_BYTES || self.ahead.is_empty())
    }

    fn send(&mut self, cell: Arc<ActorCell>) {
        let sequence = self.next_sequence;
        // Before anybody can withdraw it, and before the child can see it.
        self.shared.claims().offer(sequence);
        let shared = Arc::clone(&self.shared);
        let ticket = Message::Ticket(Ticket { shared, sequence });
        let Begin::Message(Message::Frame(kind, mut frame)) = cell.send_ahead(ticket) else {
            return;
        };
        renumber(&mut frame, kind, sequence);
        let len_bytes = frame.len();
        self.writer.push(frame);
        self.ahead.push_back(Ahead {
            sequence,
            len_bytes,
            cell,
        });
        self.ahead_bytes += len_bytes;
        self.next_sequence += 1;
    }

    /// Takes out the message that the child has answered or skipped.
    fn answered(&mut self, sequence: u64) -> Result<Arc<ActorCell>, Broken> {
        match self.ahead.pop_front() {
            Some(ahead) if ahead.sequence == sequence => {
                self.ahead_bytes -= ahead.len_bytes;
                Ok(ahead.cell)
            }
            other => {
                self.ahead.extend(other);
                Err(Broken::OutOfOrder(sequence))
            }
        }
    }
}

/// Frames over pipes. The lock is taken detached, and held for non-blocking writes at most.
struct OverPipes {
    name: String,
    /// How many are ahead. Stored under the wire's lock, and after an answer before the mailbox
    /// is looked into for the next: so who has put a message there and then reads
    /// `AHEAD_BY_POSTING` or more here knows that it will be found.
    ahead_messages: AtomicUsize,
    /// `None` once the child is gone, so that descriptors do not outlive it.
    wire: Mutex<Option<Wire>>,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Poster,
    IoThread,
}

impl OverPipes {
    fn wire(&self) -> MutexGuard<'_, Option<Wire>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends from the mailbox while fewer than `limit` are ahead. `who` polls for room if the pipe
    /// did not take all: the I/O thread at its next turn, or, when rung, if it is somebody else.
    fn pump(&self, host: &Host, limit: usize, who: Who) {
        let mut wire = self.wire();
        let Some(wire) = wire.as_mut() else { return };
        let flushed = wire.pump(host, limit);
        self.ahead_messages
            .store(wire.ahead.len(), Ordering::SeqCst);
        if flushed == Flush::Blocked
            && who == Who::Poster
            && let Err(error) = wire.bell.ring()
        {
            log::error!(target: "futures_actors", "actor {}: cannot wake its thread: {error}", self.name);
        }
    }

    fn message(&self, kind: Kind, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        let what = format!("the message for actor {}", self.name);
        let body = pickle::dumps(object, &what)?;
        Ok(Message::Frame(kind, encode(kind, 0, body.as_bytes())))
    }
}

impl Transport for Arc<OverPipes> {
    fn post(&self, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        self.message(Kind::Message, object)
    }

    fn call(
        &self,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message> {
        let call = (function, args, kwargs).into_pyobject(function.py())?;
        self.message(Kind::Call, call.as_any())
    }

    fn rouse(&self, py: Python<'_>, host: &Host) {
        // Then an answer is to come, after which the I/O thread looks into the mailbox. Nothing to
        // do here, so no reason to let another thread have the GIL.
        if self.ahead_messages.load(Ordering::SeqCst) < AHEAD_BY_POSTING {
            py.detach(|| self.pump(host, AHEAD_BY_POSTING, Who::Poster));
        }
    }

    fn sent_ahead(&self) -> Vec<Arc<ActorCell>> {
        let wire = self.wire();
        let cells = wire.iter().flat_map(|wire| &wire.ahead);
        cells.map(|ahead| Arc::clone(&ahead.cell)).collect()
    }
}

/// The core of a `ProcessActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
pub(super) struct ProcessExecutorCore;

#[pymethods]
impl ProcessExecutorCore {
    #[new]
    #[pyo3(signature = (actor, /, *args, **kwargs))]
    fn new(
        actor: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = actor.py();
        // A class, or a class with options.
        let (actor_class, start_method) = match actor.cast::<PyType>() {
            Ok(class) => (class.clone(), None),
            Err(_) => (
                actor.getattr(intern!(py, "actor_class"))?.cast_into()?,
                actor.getattr(intern!(py, "start_method"))?.extract()?,
            ),
        };
        let actor_class = &actor_class;
        let name = actor_class.name()?.to_string();
        let what = format!("class or constructor arguments of actor {name}");
        let start = (actor_class, args, kwargs).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), &what)?;
        // Apart, since unpickling the class may run code that reads `sys.argv`.
        let sys_argv = py.import("sys")?.getattr("argv")?;
        let start = (sys_argv, start).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), "sys.argv")?;
        let Launched {
            child,
            reader,
            wire,
        } = start_child(py, &start, start_method)?;
        let bell = Arc::clone(&wire.bell);
        let wire = Mutex::new(Some(wire));
        let over_pipes = Arc::new(OverPipes {
            name,
            ahead_messages: AtomicUsize::new(0),
            wire,
        });
        let host = Arc::new(Host::new(actor_class, Box::new(Arc::clone(&over_pipes)))?);
        // On failure the ends of the pipes are closed, by which the child ends.
        host.start(move |host| {
            let over_pipes = &over_pipes;
            Side {
                host,
                over_pipes,
                bell,
                reader,
                child,
            }
            .serve();
        })?;
        Ok(PyClassInitializer::from(ExecutorCore { host }).add_subclass(Self))
    }
}

/// A child as `_spawn` gives it.
struct Child {
    object: Py<PyAny>,
    pid: u32,
    /// Readable once it has ended; `None` where the system has no such descriptor.
    ended: Option<OwnedFd>,
}

struct Launched {
    child: Child,
    reader: Reader,
    wire: Wire,
}

fn start_child(
    py: Python<'_>,
    start: &Bound<'_, PyBytes>,
    start_method: Option<String>,
) -> PyResult<Launched> {
    let io = |error: Errno| std::io::Error::from(error);
    let (request_read, request_write) = sys::pipe().map_err(io)?;
    let (answer_read, answer_write) = sys::pipe().map_err(io)?;
    let (shared, shared_fd) = Shared::create().map_err(io)?;
    let bell = Arc::new(Bell::new().map_err(io)?);
    sys::set_nonblocking(&request_write).map_err(io)?;
    sys::set_nonblocking(&answer_read).map_err(io)?;
    let theirs = [&request_read, &answer_write, &shared_fd].map(AsRawFd::as_raw_fd);
    let object = imports::start_child(py)?.call1((theirs.to_vec(), start_method))?;
    let pid: u32 = object.getattr(intern!(py, "pid"))?.extract()?;
    let ended = i32::try_from(pid).ok().and_then(sys::watch_process);
    let mut writer = Writer::new(request_write);
    writer.push(encode(Kind::Start, 0, start.as_bytes()));
    let object = object.unbind();
    Ok(Launched {
        child: Child { object, pid, ended },
        reader: Reader::new(answer_read),
        wire: Wire {
            writer,
            bell,
            shared: Arc::new(shared),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            next_sequence: 1,
            phase: Phase::Open,
        },
    })
}

/// The I/O thread's side of an actor.
struct Side<'a> {
    host: &'a Arc<Host>,
    over_pipes: &'a OverPipes,
    bell: Arc<Bell>,
    reader: Reader,
    child: Child,
}

/// A message that has left the child, and what it came to unless it was skipped.
type Gone = (Arc<ActorCell>, Option<Sealed>);

fn settle_all(gone: Vec<Gone>) {
    for (cell, outcome) in gone {
        if let Some(outcome) = outcome {
            future::settle(&cell, Outcome::Sealed(outcome));
        }
    }
}

/// Why the I/O thread stops reading.
enum Over {
    /// The stream or the process has ended.
    Ended,
    InitFailed(Vec<u8>),
    Broken(Broken),
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Side<'_> {
    fn serve(mut self) {
        self.pump();
        let over = loop {
            if let Err(over) = self.turn() {
                break over;
            }
        };
        self.end(over);
    }

    fn pump(&self) {
        self.over_pipes
            .pump(self.host, WINDOW_MESSAGES, Who::IoThread);
    }

    /// Waits for something to do and does it.
    fn turn(&mut self) -> Result<(), Over> {
        let unsent = match self.over_pipes.wire().as_ref() {
            Some(wire) if !wire.writer.is_empty() => Some(wire.writer.fd()),
            _ => None,
        };
        let read = |fd| Interest {
            fd,
            flags: PollFlags::IN,
        };
        let interests = [
            Some(read(self.reader.as_fd())),
            Some(read(self.bell.as_fd())),
            self.child.ended.as_ref().map(|fd| read(fd.as_fd())),
            unsent.as_ref().map(|fd| Interest {
                fd: fd.as_fd(),
                flags: PollFlags::OUT,
            }),
        ];
        let [answers, bell, ended, room] = sys::poll(interests, None).map_err(Broken::Io)?;
        if !bell.is_empty() {
            self.bell.quiet().map_err(Broken::Io)?;
        }
        let mut over = false;
        if !answers.is_empty() {
            over = self.read()? == Fill::End;
        }
        if !ended.is_empty() {
            // What the child wrote before its end, whoever else holds the pipe.
            while matches!(self.read()?, Fill::Some | Fill::Full) {}
            over = true;
        }
        if over {
            return Err(Over::Ended);
        }
        if !bell.is_empty() || !room.is_empty() {
            self.pump();
        }
        Ok(())
    }

    /// Takes in what one read gives.
    fn read(&mut self) -> Result<Fill, Over> {
        let fill = self.reader.fill()?;
        let mut gone = Vec::new();
        while let Some(frame) = self.reader.next_frame()? {
            gone.push(self.receive(frame)?);
        }
        if !gone.is_empty() {
            // There is room: the child gets its next messages before callbacks of these run.
            self.pump();
        }
        settle_all(gone);
        Ok(fill)
    }

    /// The message that a frame is about has left the child.
    fn receive(&self, frame: Frame) -> Result<Gone, Over> {
        let body = frame.body;
        let outcome = match frame.kind {
            Kind::Error if frame.sequence == 0 => return Err(Over::InitFailed(body)),
            Kind::Skipped => None,
            Kind::Answer => Some(Sealed::Answer(Arc::new(body))),
            Kind::Error => Some(Sealed::Error(Arc::new(body))),
            kind => return Err(Broken::Unexpected(kind).into()),
        };
        let mut wire = self.over_pipes.wire();
        // It is there until this thread takes it.
        let wire = wire.as_mut().ok_or(Over::Ended)?;
        let cell = wire.answered(frame.sequence)?;
        let ahead = wire.ahead.len();
        self.over_pipes
            .ahead_messages
            .store(ahead, Ordering::SeqCst);
        Ok((cell, outcome))
    }

    /// Takes in the answers that the child had given when it died and that were still to leave it.
    fn receive_spilled(&self) {
        let spilled = match self.over_pipes.wire().as_ref() {
            Some(wire) => wire.shared.spill().frames(),
            None => return,
        };
        let mut gone = Vec::new();
        for frame in spilled {
            // Some may have left the child before it died; then another message is the next.
            if self.next_ahead() == Some(frame.sequence) {
                gone.extend(self.receive(frame).ok());
            }
        }
        settle_all(gone);
    }

    fn next_ahead(&self) -> Option<u64> {
        let wire = self.over_pipes.wire();
        Some(wire.as_ref()?.ahead.front()?.sequence)
    }

    /// Reaps the child and fails what it leaves behind.
    fn end(self, over: Over) {
        self.receive_spilled();
        let wire = self.over_pipes.wire().take();
        let (ahead, phase) = wire.map_or((VecDeque::new(), Phase::Stopping), |wire| {
            (wire.ahead, wire.phase)
        });
        let stopped = phase == Phase::Stopping && ahead.is_empty();
        // A child that has ended its stream and lives on would never hear of us again.
        let kill = !(stopped || matches!(over, Over::InitFailed(_)));
        let pid = self.child.pid;
        let exitcode = reap(self.child.object, kill).unwrap_or_else(|error| {
            log::error!(target: "futures_actors", "actor {}: cannot reap its child: {error}", self.host.name);
            None
        });
        let fault = match over {
            Over::Ended if stopped => return,
            Over::InitFailed(body) => Fault::InitSent(Arc::new(body)),
            Over::Ended => Fault::Died {
                pid,
                exitcode,
                broken: None,
            },
            Over::Broken(broken) => Fault::Died {
                pid,
                exitcode,
                broken: Some(broken),
            },
        };
        let ahead = ahead.into_iter().map(|ahead| {
            let started = if ahead.cell.phase() == cell::Phase::Running {
                Started::Yes
            } else {
                Started::No
            };
            (ahead.cell, started)
        });
        self.host.fail(fault, ahead.collect());
    }
}

fn reap(child: Py<PyAny>, kill: bool) -> PyResult<Option<i32>> {
    Python::attach(|py| {
        let child = child.into_bound(py);
        child.call_method1(intern!(py, "reap"), (kill,))?.extract()
    })
}
