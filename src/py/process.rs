//! The process actor, in the parent: a child, two pipes, and a thread that moves frames between
//! them and cells.
//!
//! One message at a time is with the child; the others are in the mailbox, where they can be
//! cancelled. The I/O thread touches Python only to run callbacks and to reap the child.

use std::collections::VecDeque;
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
use crate::engine::frame::{Frame, Kind, encode, renumber};
use crate::engine::link::{Broken, Fill, Flush, Reader, Writer};
use crate::engine::mailbox::Take;
use crate::engine::sys::{self, Bell, Interest};

/// How many messages may be with the child.
const WINDOW: usize = 1;

/// The parent's sending side. Whoever has a message to send writes it, without a hop to another
/// thread; the I/O thread writes what the pipe did not take.
struct Wire {
    writer: Writer,
    /// What the child has, oldest first. Invariant: sequence numbers go up by one.
    in_flight: VecDeque<(u64, Arc<ActorCell>)>,
    next_sequence: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The constructor runs; messages wait, so that they can be cancelled.
    Starting,
    Open,
    /// The child has been told that there is no more.
    Stopping,
}

/// Frames over pipes. The wire's lock is held detached, and for a non-blocking write at most.
struct OverPipes {
    name: String,
    wire: Mutex<Wire>,
    /// Rung when the I/O thread has to look at the wire.
    bell: Bell,
}

impl OverPipes {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, kind: Kind, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        let what = format!("the message for actor {}", self.name);
        let body = pickle::dumps(object, &what)?;
        Ok(Message::Frame(kind, encode(kind, 0, body.as_bytes())))
    }

    /// Sends from the mailbox what the window has room for.
    fn pump(&self, host: &Host) {
        let mut wire = self.wire();
        while wire.phase == Phase::Open && wire.in_flight.len() < WINDOW {
            match host.mailbox.try_take() {
                Take::Item(cell) => wire.send(cell),
                Take::Closed if wire.in_flight.is_empty() => {
                    wire.writer.push(encode(Kind::Stop, 0, b""));
                    wire.phase = Phase::Stopping;
                }
                Take::Empty | Take::Closed => break,
            }
        }
        let blocked = wire.flush();
        drop(wire);
        if blocked {
            self.ring();
        }
    }

    fn ring(&self) {
        if let Err(error) = self.bell.ring() {
            log::error!(target: "futures_actors", "actor {}: cannot wake its thread: {error}", self.name);
        }
    }
}

impl Wire {
    fn send(&mut self, cell: Arc<ActorCell>) {
        let Some(Message::Frame(kind, mut frame)) = future::begin(&cell) else {
            return;
        };
        renumber(&mut frame, kind, self.next_sequence);
        self.writer.push(frame);
        self.in_flight.push_back((self.next_sequence, cell));
        self.next_sequence += 1;
    }

    /// Whether something is left that the pipe did not take.
    fn flush(&mut self) -> bool {
        // On an error the child is gone: the I/O thread sees that by itself, and says why.
        self.writer.flush() == Ok(Flush::Blocked)
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

    fn rouse(&self, host: &Host) {
        self.pump(host);
    }
}

/// The core of a `ProcessActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
pub(super) struct ProcessExecutorCore;

#[pymethods]
impl ProcessExecutorCore {
    #[new]
    #[pyo3(signature = (actor_class, /, *args, **kwargs))]
    fn new(
        actor_class: &Bound<'_, PyType>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = actor_class.py();
        let name = actor_class.name()?.to_string();
        let what = format!("class or constructor arguments of actor {name}");
        let start = (actor_class, args, kwargs).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), &what)?;
        // Apart, since unpickling the class may run code that reads `sys.argv`.
        let sys_argv = py.import("sys")?.getattr("argv")?;
        let start = (sys_argv, start).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), "sys.argv")?;
        let (child, reader, writer) = start_child(py, &start)?;
        let over_pipes = Arc::new(OverPipes {
            name,
            wire: Mutex::new(Wire {
                writer,
                in_flight: VecDeque::new(),
                next_sequence: 1,
                phase: Phase::Starting,
            }),
            bell: Bell::new().map_err(std::io::Error::from)?,
        });
        let transport = Box::new(Arc::clone(&over_pipes));
        let host = Arc::new(Host::new(actor_class, transport)?);
        let served = host.start(move |host| {
            Side {
                host,
                over_pipes: &over_pipes,
                reader,
                child,
            }
            .serve();
        });
        // On failure the ends of the pipes are closed, by which the child ends.
        served?;
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

fn start_child(py: Python<'_>, start: &Bound<'_, PyBytes>) -> PyResult<(Child, Reader, Writer)> {
    let io = |error: Errno| std::io::Error::from(error);
    let (request_read, request_write) = sys::pipe().map_err(io)?;
    let (answer_read, answer_write) = sys::pipe().map_err(io)?;
    sys::set_nonblocking(&request_write).map_err(io)?;
    sys::set_nonblocking(&answer_read).map_err(io)?;
    let ends = (request_read.as_raw_fd(), answer_write.as_raw_fd());
    let object = imports::start_child(py)?.call1(ends)?;
    let pid: u32 = object.getattr(intern!(py, "pid"))?.extract()?;
    let ended = i32::try_from(pid).ok().and_then(sys::watch_process);
    let mut writer = Writer::new(request_write);
    writer.push(encode(Kind::Start, 0, start.as_bytes()));
    let object = object.unbind();
    Ok((
        Child { object, pid, ended },
        Reader::new(answer_read),
        writer,
    ))
}

/// The I/O thread's side of an actor.
struct Side<'a> {
    host: &'a Arc<Host>,
    over_pipes: &'a OverPipes,
    reader: Reader,
    child: Child,
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
        self.over_pipes.pump(self.host);
        let over = loop {
            if let Err(over) = self.turn() {
                break over;
            }
        };
        self.end(over);
    }

    /// Waits for something to do and does it.
    fn turn(&mut self) -> Result<(), Over> {
        let wire = self.over_pipes.wire();
        let unsent = (!wire.writer.is_empty()).then(|| wire.writer.fd());
        drop(wire);
        let read = |fd| Interest {
            fd,
            flags: PollFlags::IN,
        };
        let interests = [
            Some(read(self.reader.as_fd())),
            Some(read(self.over_pipes.bell.as_fd())),
            self.child.ended.as_ref().map(|fd| read(fd.as_fd())),
            unsent.as_ref().map(|fd| Interest {
                fd: fd.as_fd(),
                flags: PollFlags::OUT,
            }),
        ];
        let [answers, bell, ended, room] = sys::poll(interests, None).map_err(Broken::Io)?;
        if !bell.is_empty() {
            self.over_pipes.bell.quiet().map_err(Broken::Io)?;
        }
        let read = if answers.is_empty() && ended.is_empty() {
            Fill::Nothing
        } else {
            self.read()?
        };
        if !bell.is_empty() || !room.is_empty() {
            self.over_pipes.pump(self.host);
        }
        // What a child wrote before its end has been read by now, whoever else holds the pipe.
        if read == Fill::End || !ended.is_empty() {
            return Err(Over::Ended);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Fill, Over> {
        loop {
            match self.reader.fill()? {
                Fill::Some => {}
                over => return Ok(over),
            }
            while let Some(frame) = self.reader.next_frame()? {
                self.receive(frame)?;
            }
        }
    }

    fn receive(&self, frame: Frame) -> Result<(), Over> {
        let body = frame.body;
        let outcome = match frame.kind {
            Kind::Ready => {
                self.over_pipes.wire().phase = Phase::Open;
                self.over_pipes.pump(self.host);
                return Ok(());
            }
            Kind::Error if frame.sequence == 0 => return Err(Over::InitFailed(body)),
            Kind::Answer => Sealed::Answer(Arc::new(body)),
            Kind::Error => Sealed::Error(Arc::new(body)),
            kind => return Err(Broken::Unexpected(kind).into()),
        };
        let cell = {
            let mut wire = self.over_pipes.wire();
            match wire.in_flight.pop_front() {
                Some((sequence, cell)) if sequence == frame.sequence => cell,
                other => {
                    wire.in_flight.extend(other);
                    return Err(Broken::OutOfOrder(frame.sequence).into());
                }
            }
        };
        // The child gets its next message before this one's callbacks run.
        self.over_pipes.pump(self.host);
        future::settle(&cell, Outcome::Sealed(outcome));
        Ok(())
    }

    /// Reaps the child and fails what it leaves behind.
    fn end(self, over: Over) {
        let mut wire = self.over_pipes.wire();
        let stopped = wire.phase == Phase::Stopping && wire.in_flight.is_empty();
        let in_flight = std::mem::take(&mut wire.in_flight);
        wire.phase = Phase::Stopping;
        drop(wire);
        // A child that has ended its stream and lives on would never hear of us again.
        let kill = !(stopped || matches!(over, Over::InitFailed(_)));
        let pid = self.child.pid;
        let child = self.child.object;
        let exitcode = Python::attach(|py| -> PyResult<Option<i32>> {
            let child = child.into_bound(py);
            child.call_method1(intern!(py, "reap"), (kill,))?.extract()
        });
        let exitcode = exitcode.unwrap_or_else(|error| {
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
        for (_, cell) in in_flight {
            self.host.fail_message(&cell, &fault, Started::Yes);
        }
        self.host.fail(fault);
    }
}
