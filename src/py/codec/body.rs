//! Objects to frames and back: a pickle, and big buffers beside it in blocks of shared memory.
//!
//! If there is no block for a buffer, its bytes go in the frame instead. Nothing is pickled twice.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyList};

use super::actors::{self, Hold, Receiver};
use super::buffer::{SharedBuffer, THRESHOLD_BYTES};
use super::packed::{Packed, Piece, warn};
use super::pickle::What;
use super::{buffer, packed, pickle};
use crate::engine::arena::{Arena, Block, NotReceived, Refusal};
use crate::engine::ipc::body::{self, Reference};
use crate::engine::ipc::frame::{FrameError, HEADER_BYTES, Kind};
use crate::engine::sys;

/// Whether this process still needs the object after it is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Source {
    Borrowed,
    /// The object is dropped. A received block that only the object uses goes back as it is.
    Consumed,
}

/// Where the bytes of a buffer are.
enum Placed {
    Block(Block),
    /// In a block that was received from the other process: at this address, and this long.
    Received(Arc<Block>, usize, usize),
    Frame(Bytes),
}

/// Packs `object` into a frame of `kind` for the child that `arena` is shared with. Without an arena
/// it is packed for no particular child, and all of it goes in the frame. An error names it by `what`.
pub(in crate::py) fn pack(
    arena: Option<&Arc<Arena>>,
    kind: Kind,
    object: Bound<'_, PyAny>,
    what: &What<'_>,
    source: Source,
    receiver: Receiver,
) -> PyResult<Packed> {
    let py = object.py();
    if let Some(plain) = pickle::as_plain(&object) {
        return Ok(Packed::plain(kind, plain));
    }
    let ((pickle, buffers), actors) = if let Some(pickle) = pickle::dumps_plain(&object)? {
        ((pickle, Vec::new()), Vec::new())
    } else {
        let (dumped, actors) = actors::packing(receiver, || pickle::dumps_apart(&object, what));
        (dumped?, actors)
    };
    let pickle = pickle.as_bytes();
    if buffers.is_empty() && actors.is_empty() && pickle.len() < THRESHOLD_BYTES {
        return Ok(Packed::small(kind, pickle));
    }
    // After a child has died, and until the next has started, there is no particular child.
    let arena = arena.filter(|arena| !arena.is_closed());
    let packer = Packer {
        py,
        arena,
        what,
        source,
    };
    let placed = buffers.into_iter().map(|one| packer.place(one));
    let placed = placed.collect::<PyResult<Vec<_>>>()?;
    drop(object);
    let pickle = match packer.copy(pickle)? {
        Some(block) => Piece::Block(block),
        None => Piece::Bytes(pickle),
    };
    let buffers = placed.into_iter().map(|one| packer.settle(one));
    let buffers = buffers.collect::<PyResult<_>>()?;
    let actors = (!actors.is_empty()).then(|| Box::new(actors));
    Ok(Packed::of(kind, arena, pickle, buffers, actors))
}

struct Packer<'a, 'py> {
    py: Python<'py>,
    arena: Option<&'a Arc<Arena>>,
    what: &'a What<'a>,
    source: Source,
}

impl Packer<'_, '_> {
    /// Finds the received block that a buffer is in, or copies the buffer into a new block if there
    /// is one.
    fn place(&self, buffer: PyUntypedBuffer) -> PyResult<Placed> {
        let (address, len_bytes) = (buffer::address(&buffer), buffer.len_bytes());
        if self.source == Source::Consumed
            && len_bytes >= THRESHOLD_BYTES
            && let Some(block) = self.arena.and_then(|arena| arena.find(address, len_bytes))
        {
            // This releases the object too.
            buffer.release(self.py);
            return Ok(Placed::Received(block, address, len_bytes));
        }
        Ok(match self.copy(buffer::bytes(&buffer))? {
            Some(block) => Placed::Block(block),
            None => Placed::Frame(Bytes::Python(buffer)),
        })
    }

    /// A new block with a copy of `bytes`, if they are big and there is a block.
    fn copy(&self, bytes: &[u8]) -> PyResult<Option<Block>> {
        let Some(arena) = self.arena else {
            return Ok(None);
        };
        if bytes.len() < THRESHOLD_BYTES {
            return Ok(None);
        }
        let copied = self.py.detach(|| packed::copy(arena, bytes));
        packed::or_none(copied, arena, bytes.len(), self.what)
    }

    /// Decides what becomes of a buffer, now that this process has dropped the object.
    fn settle(&self, placed: Placed) -> PyResult<Piece<Bytes>> {
        Ok(match placed {
            Placed::Block(block) => Piece::Block(block),
            Placed::Frame(bytes) => Piece::Bytes(bytes),
            Placed::Received(block, address, len_bytes) => match block.into_sole() {
                // No other object uses the block any more, so it goes back as it is.
                Ok(block) => Piece::Block(block.into_part(address, len_bytes)),
                Err(kept) => match self.copy(kept.part(address, len_bytes))? {
                    Some(block) => Piece::Block(block),
                    None => Piece::Bytes(Bytes::Part(kept, address, len_bytes)),
                },
            },
        })
    }
}

/// Bytes to copy into a frame.
enum Bytes {
    Python(PyUntypedBuffer),
    /// In a received block that another object still uses.
    Part(Arc<Block>, usize, usize),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Python(buffer) => buffer::bytes(buffer),
            Self::Part(block, address, len_bytes) => block.part(*address, *len_bytes),
        }
    }
}

/// A body that was received.
pub(in crate::py) struct Body {
    bytes: Vec<u8>,
    /// `None` if the body is just a pickle.
    parts: Option<Box<Parts>>,
    /// The actors that the object refers to, if there are any.
    actors: Option<Box<Actors>>,
}

enum Actors {
    /// By their numbers, just as they were received.
    Listed(Vec<u64>),
    Held(Vec<Hold>),
}

/// Where the pickle is, and the buffers that were left out of it.
struct Parts {
    pickle: Part,
    buffers: Vec<Part>,
    /// Why the other process got no block, if it reported that.
    refusal: Option<(Arc<Arena>, Refusal)>,
}

enum Part {
    Body(Range<usize>),
    Block(Arc<Block>),
    /// In a block that cannot be mapped.
    Lost(sys::Error),
}

impl Body {
    /// Like `receive`, for a thread that is attached.
    pub(in crate::py) fn receive_attached(
        py: Python<'_>,
        arena: &Arc<Arena>,
        body: Vec<u8>,
    ) -> Result<Self, FrameError> {
        if body::has_references(&body) {
            return py.detach(|| Self::receive(|| Arc::clone(arena), body));
        }
        Self::receive(|| Arc::clone(arena), body)
    }

    /// Takes over the blocks that a body refers to. May block, if much memory must be mapped. A body
    /// that is just a pickle does not ask for the arena.
    pub(in crate::py) fn receive(
        arena: impl FnOnce() -> Arc<Arena>,
        mut body: Vec<u8>,
    ) -> Result<Self, FrameError> {
        let (references, numbers) = body::unpack(&mut body)?;
        let parts = if references.is_empty() && body.len() < THRESHOLD_BYTES {
            None
        } else {
            Some(Box::new(Parts::find(&arena(), body.len(), references)?))
        };
        Ok(Self {
            bytes: body,
            parts,
            actors: (!numbers.is_empty()).then(|| Box::new(Actors::Listed(numbers))),
        })
    }

    /// Keeps the actors alive that the object refers to, as far as `find` knows them. Call it before
    /// another thread can have the body.
    pub(in crate::py) fn hold_actors(&mut self, find: impl FnMut(u64) -> Option<Hold>) {
        if let Some(Actors::Listed(numbers)) = self.actors.as_deref() {
            let held = numbers.iter().copied().filter_map(find).collect();
            self.actors = Some(Box::new(Actors::Held(held)));
        }
    }

    /// Like a body that was received, but from a message or answer that was packed in this process
    /// for no particular child.
    pub(in crate::py) fn of_packed(mut packed: Packed) -> Result<Self, FrameError> {
        let actors = packed.take_actors();
        let actors = actors.map(|actors| Box::new(Actors::Held(*actors)));
        let mut body = packed.into_frame().into_vec().split_off(HEADER_BYTES);
        let (references, _) = body::unpack(&mut body)?;
        let parts = if references.is_empty() {
            None
        } else {
            let part = |one: Reference| {
                let range = one.range_in_body();
                range.map(Part::Body).ok_or(FrameError::BadReferences)
            };
            let first = references.iter().find_map(|one| one.range_in_body());
            Some(Box::new(Parts {
                pickle: Part::Body(0..first.map_or(body.len(), |range| range.start)),
                buffers: references.into_iter().map(part).collect::<Result<_, _>>()?,
                refusal: None,
            }))
        };
        Ok(Self {
            bytes: body,
            parts,
            actors,
        })
    }

    /// The same for another process: packed for no particular child. Copies what is in the body, and
    /// what is in a block that something else still uses. The error is that a block is lost.
    pub(in crate::py) fn repack(self, kind: Kind) -> Result<Packed, sys::Error> {
        let Self {
            bytes,
            parts,
            actors,
        } = self;
        let actors = match actors.map(|actors| *actors) {
            Some(Actors::Held(held)) if !held.is_empty() => Some(Box::new(held)),
            _ => None,
        };
        let Some(parts) = parts else {
            return Ok(match actors {
                None => Packed::small(kind, &bytes),
                actors => Packed::of::<&[u8]>(kind, None, Piece::Bytes(&bytes), vec![], actors),
            });
        };
        let piece = |part: Part| match part {
            Part::Body(range) => Ok(Piece::Bytes(Cow::Borrowed(&bytes[range]))),
            Part::Block(block) => Ok(match block.into_sole() {
                Ok(block) => Piece::Block(block),
                Err(shared) => Piece::Bytes(Cow::Owned(shared.as_slice().to_vec())),
            }),
            Part::Lost(error) => Err(error),
        };
        let buffers = parts.buffers.into_iter().map(piece);
        let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
        let copied;
        let pickle = match piece(parts.pickle)? {
            Piece::Block(block) => Piece::Block(block),
            Piece::Bytes(bytes) => {
                copied = bytes;
                Piece::Bytes(&*copied)
            }
        };
        Ok(Packed::of(kind, None, pickle, buffers, actors))
    }

    /// Unpickles the object. From now on it owns the blocks that its buffers refer to.
    pub(in crate::py) fn load<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let actors: &[Hold] = match self.actors.as_deref() {
            Some(Actors::Held(held)) => held,
            _ => &[],
        };
        actors::loading(actors, || self.load_pickle(py))
    }

    fn load_pickle<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(parts) = &self.parts else {
            if let Some(plain) = pickle::load_plain(py, &self.bytes) {
                return Ok(plain);
            }
            return pickle::loads(py, &self.bytes);
        };
        if let Some((arena, refusal)) = &parts.refusal {
            warn(arena, &"an answer", *refusal);
        }
        let buffers = if parts.buffers.is_empty() {
            None
        } else {
            let buffers = parts.buffers.iter().map(|part| self.export(py, part));
            Some(PyList::new(py, buffers.collect::<PyResult<Vec<_>>>()?)?)
        };
        match &parts.pickle {
            Part::Body(range) => pickle::loads_apart(py, &self.bytes[range.clone()], buffers),
            Part::Block(block) => {
                let buffer = Bound::new(py, SharedBuffer::new(Arc::clone(block)))?;
                pickle::loads_from(buffer.as_any(), buffers)
            }
            Part::Lost(error) => Err(no_memory(*error)),
        }
    }

    fn export<'py>(&self, py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
        match part {
            Part::Body(range) => buffer::view(&PyByteArray::new(py, &self.bytes[range.clone()])),
            Part::Block(block) => {
                let owner = Bound::new(py, SharedBuffer::new(Arc::clone(block)))?;
                buffer::view(&owner)
            }
            Part::Lost(error) => Err(no_memory(*error)),
        }
    }
}

impl Parts {
    fn find(
        arena: &Arc<Arena>,
        body_bytes: usize,
        references: Vec<Reference>,
    ) -> Result<Self, FrameError> {
        let first = references.iter().find_map(|one| one.range_in_body());
        let pickle = 0..first.map_or(body_bytes, |range| range.start);
        let find = |reference: Reference| match reference.range_in_body() {
            Some(range) if range.start <= range.end && range.end <= body_bytes => {
                Ok(Part::Body(range))
            }
            Some(_) => Err(FrameError::BadReferences),
            None => match arena.receive(reference) {
                Ok(block) => Ok(Part::Block(block)),
                Err(NotReceived::System(error)) => Ok(Part::Lost(error)),
                Err(NotReceived::Nonsense) => Err(FrameError::BadReferences),
            },
        };
        // All are received before one fails, so that no block is lost if another reference is bad.
        let found: Vec<_> = references.into_iter().map(find).collect();
        let mut buffers = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let pickle = if pickle.is_empty() {
            buffers.pop().ok_or(FrameError::BadReferences)?
        } else if pickle.end <= body_bytes {
            Part::Body(pickle)
        } else {
            return Err(FrameError::BadReferences);
        };
        let refusal = if body_bytes < THRESHOLD_BYTES {
            None
        } else {
            arena.take_child_refusal()
        };
        Ok(Self {
            pickle,
            buffers,
            refusal: refusal.map(|refusal| (Arc::clone(arena), refusal)),
        })
    }
}

fn no_memory(error: sys::Error) -> PyErr {
    PyMemoryError::new_err(format!("shared memory cannot be mapped: {error}"))
}
