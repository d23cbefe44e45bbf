//! The loop of a child process, on its main thread.
//!
//! It reads frames, calls the object, and writes answers. It is detached while it waits. Another
//! thread watches the parent and ends the child when the parent has ended, whatever Python code runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::answer;
use super::answer::Called;
use super::codec::body::{Body, Source};
use super::codec::pickle::What;
use super::codec::{body, pickle};
use super::interpreter::lifecycle;
use super::interpreter::lifecycle::Loading;
use super::interpreter::wait::Attached;
use super::message::fault::{log_failure, log_told};
use super::thread::on_stop;
use crate::engine::arena::Arena;
use crate::engine::handoff::{LastCpu, Patience};
use crate::engine::ipc::frame::{Frame, Kind, encode, encode_done, renumber};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::pipe::{Broken, Fill, Reader, Writer};
use crate::engine::ipc::region::Region;
use crate::engine::sys::{self, Handle, HandleNumber, Interest, Ready};

/// Whether the object's code runs, so that Ctrl-C must raise there.
static HANDLING: AtomicBool = AtomicBool::new(false);

/// Return whether the constructor or `handle` runs at this moment.
#[pyfunction]
pub(super) fn handling() -> bool {
    HANDLING.load(Ordering::SeqCst)
}

/// Sends answers and log records. It stays until this process ends: then the kernel closes the answer
/// pipe, by which the parent learns of the end.
static OUTBOX: OnceLock<Outbox> = OnceLock::new();

/// Send an encoded log record to the parent; it arrives before any answer that is sent later.
#[pyfunction]
pub(super) fn log_to_parent(py: Python<'_>, record: &[u8]) -> PyResult<()> {
    let Some(answers) = OUTBOX.get() else {
        return Err(PyRuntimeError::new_err("this process has no parent yet"));
    };
    send(py, answers, [encode(Kind::Log, 0, record)], Haste::Now)
}

/// Copy the memory that this process shares with the one that forked it, before it is used.
#[pyfunction]
pub(super) fn unshare_pages() {
    sys::unshare_pages();
}

/// Serve the parent until it sends no more messages.
///
/// `request`, `answer` and `shared` are this process's descriptors of the two pipes and of the
/// shared memory; `parent` is the pid of the process that started it;
/// `prepare(name, surroundings)` is called before any code of the user;
/// `dump_error(exception, is_loaded)` encodes an exception as bytes.
#[pyfunction]
pub(super) fn serve(
    py: Python<'_>,
    request: HandleNumber,
    answer: HandleNumber,
    shared: HandleNumber,
    parent: i32,
    prepare: Bound<'_, PyAny>,
    dump_error: Bound<'_, PyAny>,
) -> PyResult<()> {
    end_by_panic();
    #[cfg(feature = "faults")]
    crate::py::faults::plan_from_environment();
    let io = std::io::Error::from;
    let request = take_over(py, request)?;
    let answer = take_over(py, answer)?;
    let file = take_over(py, shared)?;
    let region = Arc::new(Region::map(&file).map_err(io)?);
    watch_parent(sys::duplicate(&request).map_err(io)?, parent).map_err(io)?;
    let file = Arc::new(file);
    offer_tracebacks(py, &region, &file)?;
    let arena = Arc::new(Arena::join(Arc::clone(&region), file));
    lifecycle::register_arena(&arena);
    let answers = Outbox::new(Writer::new(answer), Arc::clone(&region));
    let mut child = ChildLoop {
        requests: Requests {
            reader: Reader::new(request),
            region: Arc::clone(&region),
            received: 0,
            patience: Patience::default(),
        },
        answers: OUTBOX.get_or_init(|| answers),
        arena,
        region,
        prepare,
        dump_error,
        done: Vec::new(),
    };
    child.serve(py)
}

/// Makes a panic of the core end this process, in whichever thread it is. The parent handles a process
/// that has ended. It could wait for ever for one that goes on without the thread that sends its
/// answers.
fn end_by_panic() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        std::process::abort();
    }));
}

/// Takes over a descriptor that this process was given. The original is closed, because processes
/// that this one starts would inherit it.
fn take_over(py: Python<'_>, number: HandleNumber) -> PyResult<Handle> {
    let duplicate = sys::duplicate_number(number).map_err(std::io::Error::from)?;
    py.import("os")?.call_method1("close", (number,))?;
    Ok(duplicate)
}

/// Lets the parent ask for tracebacks by a signal, if the system has one for it: the handler writes
/// the stacks of all threads to `file`.
fn offer_tracebacks(py: Python<'_>, region: &Arc<Region>, file: &Arc<Handle>) -> PyResult<()> {
    let Some(signal) = sys::traceback_signal() else {
        return Ok(());
    };
    // The signal and the file; `all_threads`; no `chain` to an earlier handler.
    let how = (signal, file.number(), true, false);
    py.import("faulthandler")?.call_method1("register", how)?;
    // Both are leaked, since the handler may run at any moment.
    let region = Box::leak(Box::new(Arc::clone(region)));
    crate::engine::ipc::traceback::offer(region, file).map_err(std::io::Error::from)?;
    std::mem::forget(Arc::clone(file));
    Ok(())
}

/// Ends this process as soon as the parent is gone. Then the parent's end of the request pipe is
/// closed, or, if another process has a copy of that end, the parent's process has ended.
fn watch_parent(request: Handle, parent: i32) -> sys::Result<()> {
    const RETRY_INTERVAL: Duration = Duration::from_millis(100);
    // If the parent has ended already, this watches no process or another one, but then the pipe
    // has hung up.
    let process = sys::watch_process(parent);
    sys::spawn("parent watch".to_owned(), 64 << 10, move || {
        let hung_up = Interest::HangUp(&request);
        let ended = process.as_ref().map(Interest::Readable);
        let poll = || sys::poll([Some(hung_up), ended], sys::HANG_UP_INTERVAL);
        let is_over = |found: [Ready; 2]| found.into_iter().any(Ready::is_ready);
        while !sys::retry(poll).is_ok_and(is_over) {
            // An error, such as no memory, must not end the watch before the parent ends.
            std::thread::sleep(RETRY_INTERVAL);
        }
        sys::end_now();
    })
    .map(drop)
}

struct ChildLoop<'py> {
    requests: Requests,
    answers: &'static Outbox,
    region: Arc<Region>,
    /// Called with the actor's name and the parent's surroundings, such as its `sys.path`.
    prepare: Bound<'py, PyAny>,
    arena: Arc<Arena>,
    dump_error: Bound<'py, PyAny>,
    /// The messages sent by `tell` that have been handled and not reported to the parent yet.
    done: Vec<u64>,
}

/// The inbound side of the child: reads the frames of the parent.
struct Requests {
    reader: Reader,
    region: Arc<Region>,
    /// How many messages have been read.
    received: u64,
    patience: Patience,
}

impl Requests {
    /// A frame that has been read already.
    fn next_frame(&mut self) -> Result<Option<Frame>, Broken> {
        let frame = self.reader.next_frame()?;
        let is_message = frame.as_ref().is_some_and(|frame| frame.sequence != 0);
        self.received += u64::from(is_message);
        Ok(frame)
    }

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
}

/// Whether the class and its arguments had been loaded when the start failed.
enum Loaded {
    Yes,
    No,
}

/// Something to call, or the name of a method, with its arguments.
type CallParts<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyTuple>,
    Option<Bound<'py, PyDict>>,
);

impl<'py> ChildLoop<'py> {
    fn serve(&mut self, py: Python<'py>) -> PyResult<()> {
        let Some(start) = self.wait_for_frame(py)? else {
            return Ok(());
        };
        let name = match self.prepare(py, &start.body) {
            Ok(name) => name,
            Err(error) => return self.fail(py, error, Loaded::No),
        };
        let Some(construct) = self.wait_for_frame(py)? else {
            return Ok(());
        };
        let (class, args, kwargs) = match self.load(py, construct) {
            Ok(call) => call,
            Err(error) => return self.fail(py, error, Loaded::No),
        };
        let made = give_control(|| class.call(args, kwargs.as_ref()));
        // From here on only the actor keeps its arguments alive.
        drop((class, kwargs));
        let actor = match made {
            Ok(actor) => actor,
            Err(error) => return self.fail(py, error, Loaded::Yes),
        };
        let mut next = self.wait_for_frame(py)?;
        let mut stopped = false;
        let mut attached = Attached::begin();
        while let Some(frame) = next {
            let sequence = frame.sequence;
            if frame.kind == Kind::Stop {
                stopped = true;
                break;
            }
            // A signal that arrived between messages must not interrupt this one.
            see_to_signals(py)?;
            next = None;
            sys::moment();
            let answer = if self.region.claims().claim(sequence) {
                if self.region.notifies_begun() {
                    next = self.requests.next_frame().map_err(broken)?;
                    let begun = encode(Kind::Begun, sequence, b"");
                    self.send(py, begun, haste(next.as_ref()))?;
                }
                self.region.since().store(attached.now(), Ordering::Relaxed);
                let answer = self.answer(&actor, &name, frame)?;
                self.region.since().store(0, Ordering::Relaxed);
                answer
            } else {
                // The parent still owns the blocks that its frame refers to: see `Ticket`.
                Some(encode(Kind::Skipped, sequence, b""))
            };
            if next.is_none() {
                next = self.requests.next_frame().map_err(broken)?;
            }
            if let Some(answer) = answer {
                let haste = haste(next.as_ref());
                self.send(py, answer, haste)?;
                if haste == Haste::Now {
                    self.region.answered().store(sequence, Ordering::Relaxed);
                }
            } else {
                self.done(py, sequence, next.as_ref())?;
            }
            if next.is_none() {
                next = self.wait_for_frame(py)?;
                attached = Attached::begin();
            } else {
                // To threads that `handle` has started. Sending an answer also lets them run, but
                // for messages sent by `tell` hardly anything is sent.
                attached.give_way(py);
            }
        }
        if stopped && let Err(error) = give_control(|| on_stop(&actor)) {
            log_failure(py, &name, "on_stop", error);
        }
        Ok(())
    }

    /// Prepares this process for the actor of the start frame, and returns the actor's name.
    fn prepare(&self, py: Python<'py>, body: &[u8]) -> PyResult<String> {
        let (name, surroundings): (String, Bound<'_, PyTuple>) =
            pickle::loads(py, body)?.extract()?;
        sys::name_process(&name);
        self.prepare.call1((&name, surroundings))?;
        Ok(name)
    }

    /// Loads the call that makes the actor: its class, and the arguments.
    fn load(&self, py: Python<'py>, construct: Frame) -> PyResult<CallParts<'py>> {
        let body = Body::receive_attached(py, &self.arena, construct.body);
        let body = body.map_err(|error| broken(error.into()))?;
        let loading = Loading::begin();
        let call = body.load(py)?.extract()?;
        drop(loading);
        Ok(call)
    }

    /// Tells the parent why the actor could not start. After that, this process ends.
    fn fail(&mut self, py: Python<'py>, error: PyErr, loaded: Loaded) -> PyResult<()> {
        let is_loaded = matches!(loaded, Loaded::Yes);
        let body = self.dump_error.call1((error.into_value(py), is_loaded))?;
        let body = body.cast_into::<PyBytes>()?;
        self.send(py, encode(Kind::Error, 0, body.as_bytes()), Haste::Now)
    }

    /// For when message `sequence`, which was sent by `tell`, has been handled. The parent must learn
    /// of it in time to send more, but not of each one.
    fn done(&mut self, py: Python<'py>, sequence: u64, next: Option<&Frame>) -> PyResult<()> {
        const AT_MOST: usize = 32;
        self.region.claims().finish(sequence);
        self.done.push(sequence);
        let goes_on = next.is_some_and(|next| next.kind != Kind::Stop);
        if goes_on && self.done.len() < AT_MOST {
            return Ok(());
        }
        let done = self.take_done();
        send(py, self.answers, done, Haste::Soon)
    }

    fn take_done(&mut self) -> Option<Vec<u8>> {
        let frame = (!self.done.is_empty()).then(|| encode_done(&self.done));
        self.done.clear();
        frame
    }

    /// Lets the object handle the message, and encodes the answer. `None` if it was sent by `tell`.
    fn answer(
        &self,
        actor: &Bound<'py, PyAny>,
        name: &str,
        frame: Frame,
    ) -> PyResult<Option<Vec<u8>>> {
        let py = actor.py();
        let sequence = frame.sequence;
        if frame.kind.is_told() {
            if let Err(error) = self.handle(actor, name, frame) {
                self.region.failed().fetch_add(1, Ordering::Relaxed);
                log_told(py, name, error);
            }
            return Ok(None);
        }
        let packed = self.handle(actor, name, frame).and_then(|answer| {
            let what = What::Answer(name);
            body::pack(
                Some(&self.arena),
                Kind::Answer,
                answer,
                &what,
                Source::Consumed,
            )
        });
        match packed {
            Ok(packed) => {
                let mut frame = packed.into_frame().into_vec();
                renumber(&mut frame, Kind::Answer, sequence);
                Ok(Some(frame))
            }
            Err(error) => Ok(Some(self.encode_error(py, error, sequence)?)),
        }
    }

    fn handle(
        &self,
        actor: &Bound<'py, PyAny>,
        name: &str,
        frame: Frame,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = actor.py();
        let body = Body::receive_attached(py, &self.arena, frame.body);
        let message = body.map_err(|error| broken(error.into()))?.load(py)?;
        match frame.kind {
            Kind::Call | Kind::ToldCall => {
                let (function, args, kwargs): CallParts<'_> = message.extract()?;
                let answer = give_control(|| function.call(args, kwargs.as_ref()))?;
                answer::check(name, &Called::Function, answer)
            }
            Kind::Method | Kind::ToldMethod => {
                let (method, args, kwargs): CallParts<'_> = message.extract()?;
                let method = method.cast_into::<PyString>()?;
                let answer = give_control(|| actor.call_method(&method, args, kwargs.as_ref()))?;
                answer::check(name, &Called::Method(&method), answer)
            }
            _ => {
                let answer =
                    give_control(|| actor.call_method1(intern!(py, "handle"), (message,)))?;
                answer::check(name, &Called::Handle, answer)
            }
        }
    }

    fn encode_error(&self, py: Python<'py>, error: PyErr, sequence: u64) -> PyResult<Vec<u8>> {
        let body = self.dump_error.call1((error.into_value(py),))?;
        let body = body.cast_into::<PyBytes>()?;
        Ok(encode(Kind::Error, sequence, body.as_bytes()))
    }

    /// Waits for the next frame. `None` if the parent is gone.
    fn wait_for_frame(&mut self, py: Python<'py>) -> PyResult<Option<Frame>> {
        loop {
            if let Some(frame) = self.requests.next_frame().map_err(broken)? {
                return Ok(Some(frame));
            }
            let requests = &mut self.requests;
            match py.detach(|| requests.fill()).map_err(broken)? {
                Fill::Some | Fill::Full => {}
                // A signal interrupted the read.
                Fill::Nothing => see_to_signals(py)?,
                Fill::Eof => return Ok(None),
            }
        }
    }

    /// Sends `frame`, after a report of the told messages that were handled before.
    fn send(&mut self, py: Python<'py>, frame: Vec<u8>, haste: Haste) -> PyResult<()> {
        let done = self.take_done();
        send(py, self.answers, done.into_iter().chain([frame]), haste)
    }
}

/// An answer is held back only if there is another message: then more answers will follow.
fn haste(next: Option<&Frame>) -> Haste {
    match next {
        Some(_) => Haste::Soon,
        None => Haste::Now,
    }
}

fn send(
    py: Python<'_>,
    answers: &Outbox,
    frames: impl IntoIterator<Item = Vec<u8>> + Send,
    haste: Haste,
) -> PyResult<()> {
    /// How long it takes at most until the watch thread ends this process after its parent's end.
    const WATCH: Duration = Duration::from_secs(1);
    let sent = py.detach(|| {
        let sent = answers.send(frames, haste);
        if sent == Err(sys::Error::BROKEN_PIPE) {
            // The parent has most likely gone. Then this process ends now, without a traceback.
            std::thread::sleep(WATCH);
        }
        sent
    });
    sent.map_err(|error| std::io::Error::from(error).into())
}

/// Runs the handlers of signals that came between messages. Ctrl-C is ignored there. What another
/// handler raises ends the actor, as it would end any waiting program.
fn see_to_signals(py: Python<'_>) -> PyResult<()> {
    match py.check_signals() {
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => Ok(()),
        result => result,
    }
}

fn broken(broken: Broken) -> PyErr {
    PyOSError::new_err(format!("the link to the parent is broken: {broken}"))
}

/// Runs the object's own code, in which Ctrl-C raises `KeyboardInterrupt`.
fn give_control<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    HANDLING.store(true, Ordering::SeqCst);
    let result = body();
    HANDLING.store(false, Ordering::SeqCst);
    result
}
