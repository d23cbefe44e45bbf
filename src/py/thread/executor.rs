//! The executor of a thread actor, and what it takes to start one.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::server::{Constructor, OnLoop, Server};
use super::source::{Seat, Source};
use super::transport::SameProcess;
use crate::engine::holding::Holder;
use crate::engine::mailbox::Mailbox;
use crate::engine::roster::Turns;
use crate::py::asynchronous::waker::{Waker, WakesLoop};
use crate::py::executor::ExecutorCore;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::host::run::Serve;
use crate::py::host::streams::RunningStreams;
use crate::py::interpreter::lifecycle::Start;
use crate::py::message::tally::Tally;
use crate::py::options::Options;
use crate::py::reference::hold::Hold;

/// The core of a `ThreadActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, name = "ThreadActorExecutor", module = "futures_actors._core")]
pub(in crate::py) struct ThreadExecutorCore;

#[pymethods]
impl ThreadExecutorCore {
    #[new]
    #[pyo3(signature = (actor, /, *args, **kwargs))]
    fn new(
        actor: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _start = Start::begin()?;
        let options = Options::of_one(actor)?;
        let mailbox = Arc::new(Mailbox::new(options.mailbox_size));
        let tally = Arc::new(Tally::new(options.name.clone()));
        let (host, server) = prepare(&options, (mailbox, tally), None, args, kwargs);
        let hold = Hold::new(Arc::clone(&host), Holder::Others);
        host.start(actor.py(), server)?;
        let core = ExecutorCore::new(options.class, hold);
        Ok(core.add_subclass(Self))
    }
}

/// A host, and what its thread must serve.
pub(in crate::py) fn prepare(
    options: &Options<'_>,
    (mailbox, tally): (Arc<Mailbox<Arc<ActorCell>>>, Arc<Tally>),
    seat: Option<Seat>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> (Arc<Host>, impl Serve + use<>) {
    let ident = Arc::new(OnceCell::new());
    let waker = options.is_async.then(Arc::<Waker>::default);
    if let (Some(waker), Some(Seat { team, index })) = (&waker, &seat) {
        let event_loop = Arc::new(WakesLoop(Arc::clone(waker)));
        team.roster.wake_by(*index, event_loop);
    }
    let streams = Arc::<RunningStreams>::default();
    let transport = SameProcess {
        seat: seat.clone(),
        ident: Arc::clone(&ident),
        waker: waker.clone(),
        streams: Arc::clone(&streams),
    };
    let host = Host::new(options, mailbox, tally, Box::new(transport));
    let constructor = Constructor {
        class: options.class.clone().unbind(),
        args: args.clone().unbind(),
        kwargs: kwargs.map(|kwargs| kwargs.clone().unbind()),
    };
    let server = Server {
        ident,
        source: seat.map_or(Source::Alone, |seat| Source::Member(seat, Turns::default())),
        constructor: Some(constructor),
        on_loop: waker.map(|waker| OnLoop {
            waker,
            max_concurrency: options.max_concurrency,
            loop_factory: options.loop_factory.clone().map(Bound::unbind),
        }),
        begun: None,
        next: None,
        streams,
    };
    (Arc::new(host), server)
}
