//! What a caller asks of an actor: what to call there, and what the caller wants to hear of it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::engine::ipc::frame::Kind;

use super::items::Items;

/// What to call for a message, as the caller gives it.
#[derive(Clone, Copy)]
pub(in crate::py) enum Asked<'a, 'py> {
    /// `handle`, with this message.
    Handle(&'a Bound<'py, PyAny>),
    /// For `submit`: a function, with its arguments.
    Call(
        &'a Bound<'py, PyAny>,
        &'a Bound<'py, PyTuple>,
        Option<&'a Bound<'py, PyDict>>,
    ),
    /// For a proxy: the actor's method of this name, with its arguments.
    Method(
        &'a Bound<'py, PyString>,
        &'a Bound<'py, PyTuple>,
        Option<&'a Bound<'py, PyDict>>,
    ),
}

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Sender {
    Here,
    /// Another process, which gets the answer as bytes.
    Elsewhere,
}

/// What the caller wants to hear of its message.
#[derive(Clone)]
pub(in crate::py) enum Wants {
    Answer,
    /// It was sent by `tell`: the answer is dropped.
    Nothing,
    /// It is a stream: what the handler yields goes there.
    Items(Arc<Items>),
}

impl Wants {
    /// Whether it was sent by `tell`.
    pub(in crate::py) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// The same of a message that is a stream if there are `items`.
    pub(in crate::py) fn of(is_told: bool, items: Option<Arc<Items>>) -> Self {
        match items {
            Some(items) => Self::Items(items),
            None if is_told => Self::Nothing,
            None => Self::Answer,
        }
    }

    /// Where its items go, if it is a stream.
    pub(in crate::py) fn into_items(self) -> Option<Arc<Items>> {
        match self {
            Self::Items(items) => Some(items),
            Self::Answer | Self::Nothing => None,
        }
    }
}

impl<'py> Asked<'_, 'py> {
    pub(in crate::py) fn py(&self) -> Python<'py> {
        match self {
            Self::Handle(object) | Self::Call(object, ..) => object.py(),
            Self::Method(name, ..) => name.py(),
        }
    }

    /// The same as one object to pickle, and the kind of its frame.
    pub(in crate::py) fn to_object(self, wants: &Wants) -> PyResult<(Kind, Bound<'py, PyAny>)> {
        let py = self.py();
        let ([answered, told, streamed], object) = match self {
            Self::Handle(object) => ([Kind::Message, Kind::Told, Kind::Stream], object.clone()),
            Self::Call(function, args, kwargs) => {
                let call = (function, args, kwargs).into_pyobject(py)?;
                let kinds = [Kind::Call, Kind::ToldCall, Kind::StreamCall];
                (kinds, call.into_any())
            }
            Self::Method(name, args, kwargs) => {
                let call = (name, args, kwargs).into_pyobject(py)?;
                let kinds = [Kind::Method, Kind::ToldMethod, Kind::StreamMethod];
                (kinds, call.into_any())
            }
        };
        let kind = match wants {
            Wants::Answer => answered,
            Wants::Nothing => told,
            Wants::Items(_) => streamed,
        };
        Ok((kind, object))
    }

    /// The same, for a thread of this process to call later.
    pub(in crate::py) fn to_call(self) -> Call {
        let kept = |args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>| {
            (
                args.clone().unbind(),
                kwargs.map(|kwargs| kwargs.clone().unbind()),
            )
        };
        match self {
            Self::Handle(object) => Call::Handle(object.clone().unbind()),
            Self::Call(function, args, kwargs) => {
                let (args, kwargs) = kept(args, kwargs);
                Call::Function(function.clone().unbind(), args, kwargs)
            }
            Self::Method(name, args, kwargs) => {
                let (args, kwargs) = kept(args, kwargs);
                Call::Method(name.clone().unbind(), args, kwargs)
            }
        }
    }
}

/// What to call for a message, as a cell holds it.
pub(in crate::py) enum Call {
    Handle(Py<PyAny>),
    Function(Py<PyAny>, Py<PyTuple>, Option<Py<PyDict>>),
    Method(Py<PyString>, Py<PyTuple>, Option<Py<PyDict>>),
}

impl Call {
    /// What `Asked::to_object` has made, after it was loaded.
    pub(in crate::py) fn of_object(kind: Kind, object: Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(match kind {
            Kind::Call | Kind::ToldCall | Kind::StreamCall => {
                let (function, args, kwargs) = object.extract()?;
                Self::Function(function, args, kwargs)
            }
            Kind::Method | Kind::ToldMethod | Kind::StreamMethod => {
                let (method, args, kwargs) = object.extract()?;
                Self::Method(method, args, kwargs)
            }
            _ => Self::Handle(object.unbind()),
        })
    }
}
