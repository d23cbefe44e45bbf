//! What the parent has sent. The main thread reads it when it has no message, or when it must wait
//! for something in the middle of `handle`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

use crate::engine::handoff::{LastCpu, Patience};
use crate::engine::ipc::frame::{Frame, Kind};
use crate::engine::ipc::inbox;
use crate::engine::ipc::inbox::Turn;
use crate::engine::ipc::pipe::{Broken, Fill, Reader};
use crate::engine::ipc::region::Region;
use crate::engine::latch::Wait;
use crate::engine::sys::HandleNumber;

/// The end of the request pipe, for the one thread that reads.
struct Requests {
    reader: Reader,
    region: Arc<Region>,
    /// How many messages have been read.
    received: u64,
    patience: Patience,
}

impl Requests {
    /// Reads once, and waits until there is something to read. Call it detached.
    fn fill(&mut self) -> Result<Fill, Broken> {
        let (region, received) = (&self.region, self.received);
        let cpus = [LastCpu(region.child_cpu()), LastCpu(region.parent_cpu())];
        let has_come = || region.sent().load(Ordering::Relaxed) > received;
        let reader = &mut self.reader;
        let filled = self.patience.wait(
            cpus,
            || (),
            || has_come().then_some(None),
            || Some(reader.fill()),
        );
        filled.unwrap_or_else(|| self.reader.fill())
    }

    /// Sorts what has been read, up to a message, which it returns.
    fn next_message(&mut self) -> Result<Option<Frame>, Broken> {
        while let Some(frame) = self.reader.next_frame()? {
            if frame.kind != Kind::Wake {
                self.received += u64::from(frame.sequence != 0);
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

/// What one step of a wait has come to.
enum Step {
    Done,
    /// A signal interrupted it.
    Interrupted,
    /// Nothing more comes.
    Over,
}

/// Why a wait in the middle of `handle` has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Found,
    /// The parent is gone, so this process will end within a second.
    Over,
}

pub(super) struct Inbox(inbox::Inbox<Requests, Frame>, HandleNumber);

/// All of it is for the main thread.
impl Inbox {
    pub(super) fn new(reader: Reader, region: &Arc<Region>) -> Self {
        let descriptor = reader.handle().number();
        let requests = Requests {
            reader,
            region: Arc::clone(region),
            received: 0,
            patience: Patience::default(),
        };
        Self(inbox::Inbox::new(requests), descriptor)
    }

    /// What can be read when the parent has sent something.
    pub(super) fn descriptor(&self) -> HandleNumber {
        self.1
    }

    /// Reads once from the descriptor, which can be read, unless another thread does. Returns whether
    /// the parent is gone.
    pub(super) fn read_what_is_there(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(requests) = self.0.take_reader() else {
            return Ok(false);
        };
        let step = py.detach(|| self.read(requests)).map_err(broken)?;
        Ok(matches!(step, Step::Over))
    }

    /// A message that has been read already.
    pub(super) fn next_frame(&self) -> Option<Frame> {
        self.0.pop()
    }

    /// Waits for the next message, between two messages. `None` if the parent is gone. An error is what
    /// the handler of a signal has raised, except for Ctrl-C.
    pub(super) fn wait_for_frame(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        loop {
            let turn = match self.0.next_or_turn() {
                Ok(frame) => return Ok(Some(frame)),
                Err(turn) => turn,
            };
            match self.step(py, turn)? {
                Step::Done => {}
                Step::Interrupted => see_to_signals(py)?,
                Step::Over => return Ok(None),
            }
        }
    }

    /// Waits in the middle of `handle` until `is_found`. Messages that come in the meantime are kept.
    ///
    /// Whatever makes `is_found` true must be followed by a frame from the parent, at least a
    /// [`Kind::Wake`]. An error is what the handler of a signal has raised, such as Ctrl-C.
    pub(super) fn wait_until(
        &self,
        py: Python<'_>,
        is_found: impl Fn() -> bool,
    ) -> PyResult<Waited> {
        loop {
            let turn = self.0.turn();
            // In this order: another thread may be about to read the frame.
            if is_found() {
                if let Turn::Read(requests) = turn {
                    self.0.put_back(requests, None);
                }
                return Ok(Waited::Found);
            }
            match self.step(py, turn)? {
                Step::Done => {}
                Step::Interrupted => py.check_signals()?,
                Step::Over => return Ok(Waited::Over),
            }
        }
    }

    fn step(&self, py: Python<'_>, turn: Turn<Requests>) -> PyResult<Step> {
        match turn {
            Turn::Read(requests) => py.detach(|| self.read(requests)).map_err(broken),
            Turn::Wait(latch) => Ok(match py.detach(|| latch.wait(None)) {
                Wait::Interrupted => Step::Interrupted,
                Wait::Set | Wait::TimedOut => Step::Done,
            }),
            Turn::Over => Ok(Step::Over),
        }
    }

    /// Reads once, and keeps the messages.
    fn read(&self, mut requests: Requests) -> Result<Step, Broken> {
        let filled = requests.fill().and_then(|fill| {
            let first = requests.next_message()?;
            let more = std::iter::from_fn(|| requests.next_message().transpose());
            Ok((fill, first, more.collect::<Result<Vec<_>, _>>()?))
        });
        let (fill, first, more) = filled.inspect_err(|_| self.0.close())?;
        if fill == Fill::Eof {
            self.0.close();
            return Ok(Step::Over);
        }
        self.0.put_back(requests, first.into_iter().chain(more));
        Ok(match fill {
            Fill::Nothing => Step::Interrupted,
            Fill::Some | Fill::Full | Fill::Eof => Step::Done,
        })
    }
}

/// Runs the handlers of signals that came between messages. Ctrl-C is ignored there. What another
/// handler raises ends the actor, as it would end any waiting program.
pub(super) fn see_to_signals(py: Python<'_>) -> PyResult<()> {
    match py.check_signals() {
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => Ok(()),
        result => result,
    }
}

pub(super) fn broken(broken: Broken) -> PyErr {
    PyOSError::new_err(format!("the link to the parent is broken: {broken}"))
}
