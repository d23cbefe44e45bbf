//! Objects to frames and back: a pickle, and big buffers beside it in blocks of shared memory.
//!
//! If there is no block for a buffer, its bytes go in the frame instead. Nothing is pickled twice.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyList};

use super::buffer::{SharedBuffer, THRESHOLD_BYTES};
use super::pickle::What;
use super::{buffer, pickle};
use crate::engine::arena::{Arena, Block, NotReceived, Refusal};
use crate::engine::ipc::body::{self, Reference};
use crate::engine::ipc::frame::{Encoded, FrameError, Kind, renumber};
use crate::engine::sys;

/// A frame, and the blocks that it refers to, which it owns.
pub(in crate::py) struct Packed {
    pub(in crate::py) kind: Kind,
    frame: Encoded,
    blocks: Few<Block>,
}

/// A list that is mostly empty. Every waiting message has one, so it is one pointer wide: a boxed
/// slice would be twice as large.
pub(in crate::py) type Few<T> = Option<Box<Vec<T>>>;

impl Packed {
    /// References to the blocks.
    pub(in crate::py) fn references(&self) -> Few<Reference> {
        let blocks = self.blocks.as_ref()?;
        Some(Box::new(blocks.iter().map(Block::reference).collect()))
    }

    pub(in crate::py) fn has_blocks(&self) -> bool {
        self.blocks.is_some()
    }

    /// Sets the number under which it is sent. Copies nothing, unless another one that shares its
    /// frame is still being sent.
    pub(in crate::py) fn renumber(&mut self, sequence: u64) {
        renumber(self.frame.bytes_mut(), self.kind, sequence);
    }

    /// Another one that shares the frame, for an object that was packed as `Source::Replayed` and so
    /// has no blocks. It is quick, because it is called under locks.
    pub(in crate::py) fn share(&mut self) -> Self {
        debug_assert!(self.blocks.is_none());
        Self {
            kind: self.kind,
            frame: self.frame.share(),
            blocks: None,
        }
    }

    /// The frame to send. From now on its blocks belong to the other process.
    pub(in crate::py) fn into_frame(self) -> Encoded {
        if let Some(blocks) = self.blocks {
            blocks.into_iter().for_each(Block::leave);
        }
        self.frame
    }
}

/// Whether this process still needs the object after it is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Source {
    Borrowed,
    /// The object is dropped. A received block that only the object uses goes back as it is.
    Consumed,
    /// The frame is kept, and may be sent again to another process. So everything goes in the frame:
    /// a block can be sent only once, and to one process.
    Replayed,
}

/// Where the bytes of a buffer are.
enum Placed {
    Block(Block),
    /// In a block that was received from the other process: at this address, and this long.
    Received(Arc<Block>, usize, usize),
    Frame(PyUntypedBuffer),
}

/// Packs `object` into a frame of `kind`. An error names it by `what`.
pub(in crate::py) fn pack(
    arena: &Arc<Arena>,
    kind: Kind,
    object: Bound<'_, PyAny>,
    what: &What<'_>,
    source: Source,
) -> PyResult<Packed> {
    let py = object.py();
    let (pickle, buffers) = pickle::dumps_apart(&object, what)?;
    let pickle = pickle.as_bytes();
    if buffers.is_empty() && pickle.len() < THRESHOLD_BYTES {
        return Ok(Packed {
            kind,
            frame: body::pack(kind, 0, pickle, &[]).into(),
            blocks: None,
        });
    }
    let mut packer = Packer {
        py,
        arena,
        what,
        source,
        body: Vec::new(),
        references: Vec::with_capacity(buffers.len() + 1),
        blocks: Vec::with_capacity(buffers.len() + 1),
    };
    let mut placed = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        placed.push(packer.place(buffer)?);
    }
    drop(object);
    let pickle = packer.put_pickle(pickle)?;
    for buffer in placed {
        packer.put(buffer)?;
    }
    if let Some(last) = pickle {
        packer.put(Placed::Block(last))?;
    }
    Ok(Packed {
        kind,
        frame: body::pack(kind, 0, &packer.body, &packer.references).into(),
        blocks: (!packer.blocks.is_empty()).then(|| Box::new(packer.blocks)),
    })
}

struct Packer<'a, 'py> {
    py: Python<'py>,
    arena: &'a Arc<Arena>,
    what: &'a What<'a>,
    source: Source,
    body: Vec<u8>,
    references: Vec<Reference>,
    blocks: Vec<Block>,
}

impl Packer<'_, '_> {
    /// Finds the received block that a buffer is in, or copies the buffer into a new block if there
    /// is one.
    fn place(&self, buffer: PyUntypedBuffer) -> PyResult<Placed> {
        let (address, len_bytes) = (buffer::address(&buffer), buffer.len_bytes());
        if len_bytes < THRESHOLD_BYTES {
            return Ok(Placed::Frame(buffer));
        }
        if self.source == Source::Consumed
            && let Some(block) = self.arena.find(address, len_bytes)
        {
            // This releases the object too.
            buffer.release(self.py);
            return Ok(Placed::Received(block, address, len_bytes));
        }
        Ok(match self.copy(buffer::bytes(&buffer))? {
            Some(block) => Placed::Block(block),
            None => Placed::Frame(buffer),
        })
    }

    /// A new block with a copy of `bytes`, if there is one.
    fn copy(&self, bytes: &[u8]) -> PyResult<Option<Block>> {
        if self.source == Source::Replayed {
            return Ok(None);
        }
        let arena = self.arena;
        let copied = self.py.detach(|| {
            let mut block = arena.take(bytes.len())?;
            block.fill(bytes);
            Ok(block)
        });
        match copied {
            Ok(block) => Ok(Some(block)),
            Err(Refusal::NoMemory { available_bytes }) => Err(PyMemoryError::new_err(format!(
                "{} has {} bytes in one piece, but the system has only {available_bytes} bytes of \
                 free memory; send it in smaller pieces",
                self.what,
                bytes.len(),
            ))),
            Err(refusal) => {
                warn(self.arena, self.what, refusal);
                Ok(None)
            }
        }
    }

    /// Puts the pickle first into the frame, or, if it is big, into a block, which is returned.
    fn put_pickle(&mut self, pickle: &[u8]) -> PyResult<Option<Block>> {
        if pickle.len() >= THRESHOLD_BYTES
            && let Some(block) = self.copy(pickle)?
        {
            return Ok(Some(block));
        }
        self.body.extend_from_slice(pickle);
        Ok(None)
    }

    fn put(&mut self, placed: Placed) -> PyResult<()> {
        match placed {
            Placed::Block(block) => {
                self.references.push(block.reference());
                self.blocks.push(block);
            }
            Placed::Received(block, address, len_bytes) => {
                match block.into_sole() {
                    // No other object uses the block any more, so it goes back as it is.
                    Ok(block) => {
                        let part = block.into_part(address, len_bytes);
                        return self.put(Placed::Block(part));
                    }
                    Err(kept) => {
                        let bytes = kept.part(address, len_bytes);
                        match self.copy(bytes)? {
                            Some(block) => return self.put(Placed::Block(block)),
                            None => self.put_in_frame(bytes),
                        }
                    }
                }
            }
            Placed::Frame(buffer) => self.put_in_frame(buffer::bytes(&buffer)),
        }
        Ok(())
    }

    fn put_in_frame(&mut self, bytes: &[u8]) {
        let reference = Reference::in_body(self.body.len(), bytes.len());
        self.references.push(reference);
        self.body.extend_from_slice(bytes);
    }
}

/// Warns, once for an actor, that its big buffers go through the pipe.
fn warn(arena: &Arena, what: &dyn Display, refusal: Refusal) {
    // If blocks are turned off, that is no reason to warn, now or later.
    if refusal == Refusal::Off || !arena.is_first_refusal() {
        return;
    }
    let why = match refusal {
        Refusal::Off => return,
        Refusal::Exhausted => "the blocks in use have reached its limit".to_owned(),
        Refusal::System(error) => error.to_string(),
        Refusal::NoMemory { available_bytes } => {
            format!("the system has only {available_bytes} bytes of free memory")
        }
    };
    log::warn!(
        target: "futures_actors",
        "no shared memory for {what}: {why}; until there is some, big buffers of this actor go \
         through its pipe, which takes longer"
    );
}

/// A body that was received.
pub(in crate::py) struct Body {
    bytes: Vec<u8>,
    /// `None` if the body is just a pickle.
    parts: Option<Box<Parts>>,
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
            return py.detach(|| Self::receive(arena, body));
        }
        Self::receive(arena, body)
    }

    /// Takes over the blocks that a body refers to. May block, if much memory must be mapped.
    pub(in crate::py) fn receive(
        arena: &Arc<Arena>,
        mut body: Vec<u8>,
    ) -> Result<Self, FrameError> {
        let references = body::unpack(&mut body)?;
        let parts = if references.is_empty() && body.len() < THRESHOLD_BYTES {
            None
        } else {
            Some(Box::new(Parts::find(arena, body.len(), references)?))
        };
        Ok(Self { bytes: body, parts })
    }

    /// Unpickles the object. From now on it owns the blocks that its buffers refer to.
    pub(in crate::py) fn load<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(parts) = &self.parts else {
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
