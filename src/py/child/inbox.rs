//! What the parent has sent. The main thread reads it when it has no message, or when it must wait
//! for something in the middle of `handle`. Other threads read it while they wait, too.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

use crate::engine::handoff::{LastCpu, Patience};
use crate::engine::ipc::frame::{Frame, Kind};
use crate::engine::ipc::inbox;
use crate::engine::ipc::inbox::Turn;
use crate::engine::ipc::pipe::{Broken, Fill, Reader};
use crate::engine::ipc::region::Region;
use crate::engine::latch::Wait;
use crate::engine::sys::{self, Bell, HandleNumber, Interest, Ready};
use crate::py::interpreter::wait;

/// The end of the request pipe, for the one thread that reads.
struct Requests {
    reader: Reader,
    region: Arc<Region>,
    /// How many messages have been read.
    received: u64,
    /// Whether a frame has come that an event loop must hear of although it is no message.
    is_woken: bool,
    patience: Patience,
    sorter: Arc<OnceLock<Arc<dyn Sort>>>,
}

/// Takes the frames that are not messages.
pub(super) trait Sort: Send + Sync {
    /// Takes a frame. Called by the thread that reads, so it must be quick, and must not run Python code.
    fn sort(&self, frame: Frame) -> Result<(), Broken>;

    /// Ends the messages that the frames were about. Called detached, when any thread can read again.
    fn settle(&self);
}

/// What a thread has found that waits for something other than a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// There was something to read.
    Something,
    /// It must check for signals and for its deadline.
    Nothing,
    /// Another thread reads, or must read.
    Elsewhere,
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
            self.received += u64::from(frame.sequence != 0);
            self.is_woken |= frame.kind == Kind::Wake;
            if frame.kind.is_message() || matches!(frame.kind, Kind::Start | Kind::Stop) {
                return Ok(Some(frame));
            }
            match self.sorter.get() {
                Some(sorter) => sorter.sort(frame)?,
                None => return Err(Broken::Unexpected(frame.kind)),
            }
        }
        Ok(None)
    }

    /// Whether there is something to read just now.
    fn is_readable(&self) -> bool {
        let interests = [Some(Interest::Readable(self.reader.handle())), None];
        // After an error the event loop asks again.
        let ready = sys::poll(interests, Some(Duration::ZERO));
        ready.is_ok_and(|[ready, _]| ready.is_ready())
    }

    /// Waits until there is something to read (true), the bell rings (false), or until `until`.
    fn poll(&self, bell: Option<&Bell>, until: Option<Instant>) -> sys::Result<[Ready; 2]> {
        let (region, received) = (&self.region, self.received);
        let cpus = [LastCpu(region.child_cpu()), LastCpu(region.parent_cpu())];
        let has_come = || region.sent().load(Ordering::Relaxed) > received;
        let interests = [
            Some(Interest::Readable(self.reader.handle())),
            bell.map(Bell::rung),
        ];
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        self.patience.wait(
            cpus,
            || (),
            || has_come().then_some(Ok([Ready::Yes, Ready::No])),
            || sys::poll(interests, timeout),
        )
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

pub(super) struct Inbox {
    inner: inbox::Inbox<Requests, Frame>,
    sorter: Arc<OnceLock<Arc<dyn Sort>>>,
    descriptor: HandleNumber,
    /// Tells the event loop of an async actor what was read outside of it.
    wake_loop: OnceLock<WakeLoop>,
}

/// Call it detached.
pub(super) type WakeLoop = Box<dyn Fn() + Send + Sync>;

impl Inbox {
    pub(super) fn new(reader: Reader, region: &Arc<Region>) -> Self {
        let descriptor = reader.handle().number();
        let sorter = Arc::new(OnceLock::new());
        let inner = inbox::Inbox::new(Requests {
            reader,
            region: Arc::clone(region),
            received: 0,
            is_woken: false,
            patience: Patience::default(),
            sorter: Arc::clone(&sorter),
        });
        Self {
            inner,
            sorter,
            descriptor,
            wake_loop: OnceLock::new(),
        }
    }

    /// What can be read when the parent has sent something.
    pub(super) fn descriptor(&self) -> HandleNumber {
        self.descriptor
    }

    /// For the event loop: reads what is there, unless another thread reads. Never waits. Returns whether
    /// the parent is gone.
    pub(super) fn read_what_is_there(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(requests) = self.inner.take_reader() else {
            return Ok(self.inner.is_over());
        };
        // Subtle: another thread may have read it since the loop saw that there is something.
        if !requests.is_readable() {
            self.inner.put_back(requests, None, false);
            return Ok(false);
        }
        let (step, _) = py.detach(|| self.read_once(requests)).map_err(broken)?;
        Ok(matches!(step, Step::Over))
    }

    /// Says how to tell an event loop that messages were read outside of it, or a wake-up.
    pub(super) fn set_wake_loop(&self, wake: WakeLoop) {
        // An actor has one loop, so `set` cannot fail.
        _ = self.wake_loop.set(wake);
    }

    /// Says what takes the frames that are no messages. Call it once, before anything is read.
    pub(super) fn set_sorter(&self, sorter: Arc<dyn Sort>) {
        // It is called once, so `set` cannot fail.
        _ = self.sorter.set(sorter);
    }
}

/// For the main thread.
impl Inbox {
    /// A message that has been read already.
    pub(super) fn next_frame(&self) -> Option<Frame> {
        self.inner.pop()
    }

    pub(super) fn has_frame(&self) -> bool {
        self.inner.has_message()
    }

    /// Waits for the next message, between two messages. `None` if the parent is gone. An error is what
    /// the handler of a signal has raised, except for Ctrl-C.
    pub(super) fn wait_for_frame(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        loop {
            let turn = match self.inner.next_or_turn() {
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
            let turn = self.inner.turn();
            // In this order: another thread may be about to read the frame.
            if is_found() {
                if let Turn::Read(requests) = turn {
                    self.inner.put_back(requests, None, false);
                }
                return Ok(Waited::Found);
            }
            let step = if sys::SIGNALS_END_WAITS {
                self.step(py, turn)
            } else {
                self.step_for_a_while(py, turn)
            };
            match step? {
                Step::Done => {}
                Step::Interrupted => py.check_signals()?,
                Step::Over => return Ok(Waited::Over),
            }
        }
    }

    /// Like `step`, on a system where no signal ends it: it is over when signals must be checked for.
    fn step_for_a_while(&self, py: Python<'_>, turn: Turn<Requests>) -> PyResult<Step> {
        let until = wait::until(None);
        match turn {
            Turn::Read(requests) => match py.detach(|| requests.poll(None, until)) {
                Ok([Ready::No, _]) => {
                    self.inner.put_back(requests, None, false);
                    Ok(Step::Interrupted)
                }
                _ => self.step(py, Turn::Read(requests)),
            },
            Turn::Wait(latch) => Ok(match py.detach(|| latch.wait(until)) {
                Wait::Set => Step::Done,
                Wait::TimedOut | Wait::Interrupted => Step::Interrupted,
            }),
            Turn::Over => Ok(Step::Over),
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
}

/// For any thread.
impl Inbox {
    /// Reads once, outside of an event loop: what is read here, the loop does not see in its descriptor.
    fn read(&self, requests: Requests) -> Result<Step, Broken> {
        let read = self.read_once(requests);
        // After an error the loop must look, too: it watches a descriptor that is closed now.
        let is_for_loop = read.as_ref().map_or(true, |(_, is_for_loop)| *is_for_loop);
        if is_for_loop && let Some(wake) = self.wake_loop.get() {
            wake();
        }
        read.map(|(step, _)| step)
    }

    /// Reads once, keeps the messages, and puts the reader back. Returns also whether an event loop must
    /// look.
    fn read_once(&self, mut requests: Requests) -> Result<(Step, bool), Broken> {
        let filled = requests.fill().and_then(|fill| {
            let first = requests.next_message()?;
            let more = std::iter::from_fn(|| requests.next_message().transpose());
            Ok((fill, first, more.collect::<Result<Vec<_>, _>>()?))
        });
        let (fill, first, more) = filled.inspect_err(|_| self.inner.close())?;
        if fill == Fill::Eof {
            self.inner.close();
            return Ok((Step::Over, true));
        }
        let is_woken = std::mem::take(&mut requests.is_woken);
        let is_for_loop = is_woken || first.is_some();
        let messages = first.into_iter().chain(more);
        self.inner.put_back(requests, messages, is_woken);
        if let Some(sorter) = self.sorter.get() {
            sorter.settle();
        }
        let step = match fill {
            Fill::Nothing => Step::Interrupted,
            Fill::Some | Fill::Full | Fill::Eof => Step::Done,
        };
        Ok((step, is_for_loop))
    }

    /// Reads once, if no other thread reads, and if `is_found` is not true. Waits for something to read
    /// until `until`, or until `bell` rings. Call it detached.
    pub(super) fn read_until(
        &self,
        is_found: impl Fn() -> bool,
        bell: Option<&Bell>,
        until: Option<Instant>,
    ) -> Heard {
        let Some(requests) = self.inner.take_reader() else {
            return Heard::Elsewhere;
        };
        // In this order: another thread may just have read it.
        if is_found() {
            self.inner.put_back(requests, None, false);
            return Heard::Something;
        }
        let heard = match requests.poll(bell, until) {
            Ok([requests_ready, _]) if requests_ready.is_ready() => {
                // An error closes the inbox, so that the main thread ends this process.
                _ = self.read(requests);
                return Heard::Something;
            }
            Ok([_, rung]) if rung.is_ready() => {
                if let Some(bell) = bell {
                    // An error only makes it ring again.
                    _ = bell.quiet();
                }
                Heard::Elsewhere
            }
            Ok(_) | Err(_) => Heard::Nothing,
        };
        self.inner.put_back(requests, None, false);
        heard
    }

    /// The helper thread must read, until `release_helper` is called as often as this.
    pub(super) fn ask_helper(&self) {
        self.inner.ask_helper();
    }

    /// Whether the helper has nothing to do any more: if it reads, `bell` must make it look.
    pub(super) fn release_helper(&self) -> bool {
        self.inner.release_helper()
    }

    /// For the helper thread: waits until it must read, and reads once. `is_done` says whether what it
    /// was asked for by the way is done. False if nothing more comes.
    pub(super) fn read_as_helper(&self, bell: Option<&Bell>, is_done: impl Fn() -> bool) -> bool {
        let Some(requests) = self.inner.wait_as_helper() else {
            return false;
        };
        match requests.poll(bell, None) {
            Ok([requests_ready, _]) if requests_ready.is_ready() => {
                // As in `read_until`.
                _ = self.read(requests);
                if is_done() {
                    self.inner.release_helper();
                }
            }
            found => {
                if let (Ok([_, rung]), Some(bell)) = (found, bell)
                    && rung.is_ready()
                {
                    _ = bell.quiet();
                }
                self.inner.put_back(requests, None, false);
            }
        }
        true
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
