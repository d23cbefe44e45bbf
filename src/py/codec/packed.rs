//! A packed message or answer: a frame, and blocks of shared memory for what is big.
//!
//! The blocks belong to the arena that is shared with one child, and only that child can read them.
//! For another child they are copied: see [`Packed::for_child`]. Nothing here touches Python objects.

use std::fmt::Display;
use std::sync::Arc;

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use super::actors::Hold;
use super::buffer::THRESHOLD_BYTES;
use crate::engine::arena::{Arena, Block, Refusal};
use crate::engine::ipc::body::{self, Builder, Reference};
use crate::engine::ipc::frame::{Encoded, HEADER_BYTES, Kind, renumber};
use crate::engine::plain::Plain;
use crate::engine::sys::Error;

/// A frame, and the blocks that it refers to, which it owns.
pub(in crate::py) struct Packed {
    pub(in crate::py) kind: Kind,
    frame: Encoded,
    /// `None` if the frame can be sent to any child as it is. An empty list if the message is packed
    /// for no particular child: then something big is in the frame, and should go into blocks.
    blocks: Option<Arc<Vec<Block>>>,
    /// The actors that it refers to.
    actors: Few<Hold>,
}

/// A list that is mostly empty. Every waiting message has one, so it is one pointer wide: a boxed
/// slice would be twice as large.
pub(in crate::py) type Few<T> = Option<Box<Vec<T>>>;

impl Packed {
    /// Packs a plain object.
    pub(super) fn plain(kind: Kind, plain: Plain<'_>) -> Self {
        let mut builder = Builder::new(kind, plain.most_bytes(), 0);
        builder.plain(plain);
        Self {
            kind,
            frame: builder.finish().into(),
            blocks: None,
            actors: None,
        }
    }

    /// Packs a small pickle that has no buffers.
    pub(super) fn small(kind: Kind, pickle: &[u8]) -> Self {
        Self {
            kind,
            frame: body::pack(kind, 0, pickle, &[]).into(),
            blocks: None,
            actors: None,
        }
    }

    /// Packs a pickle and its buffers, whose blocks are all in `arena`. Without an arena the message
    /// is for no particular child.
    pub(super) fn of<B: AsRef<[u8]>>(
        kind: Kind,
        arena: Option<&Arc<Arena>>,
        pickle: Piece<&[u8]>,
        buffers: Vec<Piece<B>>,
        actors: Few<Hold>,
    ) -> Self {
        let in_frame = buffers.iter().map(Piece::len_in_frame);
        let in_frame = pickle.len_in_frame() + in_frame.sum::<usize>();
        let mut builder = Builder::new(kind, in_frame, buffers.len() + 1);
        let mut blocks = Vec::new();
        let mut last = None;
        let mut is_big = false;
        match pickle {
            Piece::Block(block) => last = Some(block),
            Piece::Bytes(bytes) => {
                is_big = bytes.len() >= THRESHOLD_BYTES;
                builder.pickle(bytes);
            }
        }
        for buffer in buffers {
            match buffer {
                Piece::Block(block) => {
                    builder.block(block.reference());
                    blocks.push(block);
                }
                Piece::Bytes(bytes) => {
                    is_big |= bytes.as_ref().len() >= THRESHOLD_BYTES;
                    builder.buffer(bytes.as_ref());
                }
            }
        }
        if let Some(block) = last {
            builder.block(block.reference());
            blocks.push(block);
        }
        let listed = actors.iter().flat_map(|actors| actors.iter());
        builder.actors(listed.map(|actor| actor.number()));
        // What a child's arena had no room for stays in the frame, so it can go to any child.
        let is_apart = !blocks.is_empty() || (arena.is_none() && is_big);
        Self {
            kind,
            frame: builder.finish().into(),
            blocks: is_apart.then(|| Arc::new(blocks)),
            actors,
        }
    }

    /// References to the blocks.
    pub(in crate::py) fn references(&self) -> Option<Vec<Reference>> {
        let blocks = self.blocks.as_ref()?;
        Some(blocks.iter().map(Block::reference).collect())
    }

    /// Whether it can be sent to the child that `arena` is shared with. Otherwise [`for_child`] makes
    /// a message that can be.
    ///
    /// [`for_child`]: Self::for_child
    pub(in crate::py) fn is_for(&self, arena: &Arc<Arena>) -> bool {
        let Some(blocks) = &self.blocks else {
            return true;
        };
        blocks.first().is_some_and(|block| block.is_in(arena))
    }

    pub(in crate::py) fn has_blocks(&self) -> bool {
        self.blocks.is_some()
    }

    /// How much of it goes through a pipe, about: what is big goes into blocks.
    pub(in crate::py) fn len_in_pipe(&self) -> usize {
        if self.has_blocks() {
            HEADER_BYTES
        } else {
            self.frame.len()
        }
    }

    /// Sets the number under which it is sent. Copies nothing, unless another one that shares its
    /// frame is still being sent.
    pub(in crate::py) fn renumber(&mut self, sequence: u64) {
        renumber(self.frame.bytes_mut(), self.kind, sequence);
    }

    /// Another one that shares the frame, and takes the blocks. This one can still be sent: then the
    /// new one decides whether the blocks belong to the child.
    pub(in crate::py) fn split(&mut self) -> Self {
        Self {
            kind: self.kind,
            frame: self.frame.share(),
            blocks: self.blocks.take(),
            actors: self.actors.clone(),
        }
    }

    /// Another one that shares the frame and the blocks. It is quick, because it is called under
    /// locks. If there are blocks, only one of the two may be sent.
    pub(in crate::py) fn share(&mut self) -> Self {
        Self {
            kind: self.kind,
            frame: self.frame.share(),
            blocks: self.blocks.clone(),
            actors: self.actors.clone(),
        }
    }

    /// The same message for the child that `arena` is shared with: copies what is big into blocks of
    /// that arena. It takes its time, so the caller must be detached and hold no lock. The error is
    /// that there is no memory; it names the message by `what`.
    pub(in crate::py) fn for_child(
        &mut self,
        arena: &Arc<Arena>,
        what: &dyn Display,
    ) -> PyResult<Self> {
        let Some(blocks_here) = &self.blocks else {
            return Ok(self.share());
        };
        let pieces = body::pieces(&self.frame[HEADER_BYTES..]).expect("a body that was built here");
        let mut blocks = blocks_here.iter();
        let mut buffers = Vec::with_capacity(pieces.references.len());
        for reference in pieces.references {
            let bytes = match reference.range_in_body() {
                Some(range) => &pieces.content[range],
                None => blocks
                    .next()
                    .expect("a block for each reference")
                    .as_slice(),
            };
            buffers.push(bytes);
        }
        let pickle = match pieces.pickle {
            [] => buffers.pop().expect("a pickle"),
            pickle => pickle,
        };
        let place = |bytes| {
            let is_big = <[u8]>::len(bytes) >= THRESHOLD_BYTES;
            let copied = is_big.then(|| or_none(copy(arena, bytes), arena, bytes.len(), what));
            let block = copied.transpose()?.flatten();
            PyResult::Ok(block.map_or(Piece::Bytes(bytes), Piece::Block))
        };
        let placed = buffers
            .into_iter()
            .map(place)
            .collect::<PyResult<Vec<_>>>()?;
        let pickle = place(pickle)?;
        let is_in_block = pickle.is_block() || placed.iter().any(Piece::is_block);
        if is_in_block || !blocks_here.is_empty() {
            return Ok(Self::of(
                self.kind,
                Some(arena),
                pickle,
                placed,
                self.actors.clone(),
            ));
        }
        // All of it was in the frame, and has to stay there.
        Ok(Self {
            blocks: None,
            ..self.share()
        })
    }

    /// The pickle, without the buffers that were left out of it.
    pub(in crate::py) fn pickle(&self) -> &[u8] {
        let pieces = body::pieces(&self.frame[HEADER_BYTES..]).expect("a body that was built here");
        match (pieces.pickle, &self.blocks) {
            ([], Some(blocks)) => blocks.last().map_or(&[], Block::as_slice),
            (pickle, _) => pickle,
        }
    }

    /// The actors that it refers to, for what keeps them alive once it has been sent.
    pub(in crate::py) fn take_actors(&mut self) -> Few<Hold> {
        self.actors.take()
    }

    /// The frame to send. From now on its blocks belong to the other process.
    pub(in crate::py) fn into_frame(self) -> Encoded {
        match self.blocks.map(Arc::try_unwrap) {
            Some(Ok(blocks)) => blocks.into_iter().for_each(Block::leave),
            Some(Err(shared)) => {
                debug_assert!(shared.is_empty(), "shared, and sent");
                // They belong to the child from now on, so nothing here may free them.
                std::mem::forget(shared);
            }
            None => {}
        }
        self.frame
    }
}

/// A pickle or a buffer: in a block, or bytes to copy into the frame.
pub(super) enum Piece<B> {
    Block(Block),
    Bytes(B),
}

impl<B: AsRef<[u8]>> Piece<B> {
    fn is_block(&self) -> bool {
        matches!(self, Self::Block(_))
    }

    fn len_in_frame(&self) -> usize {
        match self {
            Self::Block(_) => 0,
            Self::Bytes(bytes) => bytes.as_ref().len(),
        }
    }
}

/// Copies `bytes` into a new block. It takes its time.
pub(super) fn copy(arena: &Arc<Arena>, bytes: &[u8]) -> Result<Block, Refusal> {
    let mut block = arena.take(bytes.len())?;
    block.fill(bytes);
    Ok(block)
}

/// The block, or `None` if the bytes have to go in the frame. An error if there is no memory for that
/// either.
pub(super) fn or_none(
    copied: Result<Block, Refusal>,
    arena: &Arena,
    len_bytes: usize,
    what: &dyn Display,
) -> PyResult<Option<Block>> {
    match copied {
        Ok(block) => Ok(Some(block)),
        Err(Refusal::NoMemory { available_bytes }) => Err(PyMemoryError::new_err(format!(
            "{what} has {len_bytes} bytes in one piece, but the system has only {available_bytes} \
             bytes of free memory; send it in smaller pieces",
        ))),
        Err(refusal) => {
            warn(arena, what, refusal);
            Ok(None)
        }
    }
}

/// Warns, once for an actor, that its big buffers go through the pipe.
pub(super) fn warn(arena: &Arena, what: &dyn Display, refusal: Refusal) {
    // If blocks are turned off, that is no reason to warn, now or later.
    // Nor if the child has died while this message was packed for it.
    let is_normal = matches!(refusal, Refusal::Off | Refusal::System(Error::CLOSED));
    if is_normal || !arena.is_first_refusal() {
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
