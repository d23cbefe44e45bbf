//! Python's buffer protocol: the bytes of an object that pickles out of band, and an object whose
//! bytes are a block of shared memory.
//!
//! It needs `unsafe`, because the protocol works with raw pointers.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::engine::arena::Block;
use crate::engine::ipc::body::MAX_REFERENCES;

/// Buffers of at least this length cross in shared memory, shorter ones in the frame. Measured: see
/// `bench/README.md`.
pub(in crate::py) const THRESHOLD_BYTES: usize = 16 * 1024;

/// Pickle's `buffer_callback`: takes the buffers that pickle offers to leave out, if they are big or
/// of plain bytes.
#[pyclass(frozen)]
pub(in crate::py) struct Collector {
    taken: Mutex<Vec<PyUntypedBuffer>>,
}

#[pymethods]
impl Collector {
    /// Returns whether pickle must put this buffer into the pickle.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        // As a row of bytes: a buffer of numpy may have no dimension, which PyO3 does not support.
        let raw = buffer.call_method0(intern!(buffer.py(), "raw"))?;
        let buffer = PyUntypedBuffer::get(&raw)?;
        if buffer.len_bytes() < THRESHOLD_BYTES && !is_of_bytes(&raw)? {
            return Ok(true);
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // One reference is for the pickle itself, one for the list of actors.
        if taken.len() + 2 < MAX_REFERENCES {
            taken.push(buffer);
            return Ok(false);
        }
        drop(taken);
        Ok(true)
    }
}

impl Collector {
    pub(in crate::py) fn new() -> Self {
        Self {
            taken: Mutex::default(),
        }
    }

    pub(in crate::py) fn take(&self) -> Vec<PyUntypedBuffer> {
        std::mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a buffer is of plain bytes that the user has wrapped in a `PickleBuffer`. Such a buffer
/// arrives as a view, and must do so whatever its length.
fn is_of_bytes(raw: &Bound<'_, PyAny>) -> PyResult<bool> {
    let owner = raw.getattr(intern!(raw.py(), "obj"))?;
    if owner.is_instance_of::<PyByteArray>()
        || owner.is_instance_of::<PyBytes>()
        || owner.is_instance_of::<SharedBuffer>()
    {
        return Ok(true);
    }
    let module = owner.get_type().module()?;
    Ok(module == "array" || module == "mmap")
}

/// A view of a buffer that was left out. It has a length and items.
pub(super) fn view<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyMemoryView::from(owner)?.into_any())
}

/// The memory of a buffer that pickle has offered, which is contiguous.
pub(in crate::py) fn bytes(buffer: &PyUntypedBuffer) -> &[u8] {
    if buffer.len_bytes() == 0 {
        return &[];
    }
    // SAFETY: the exporter keeps this memory in place for as long as the buffer is held. It is
    // contiguous: pickle refuses other buffers before it offers them. If Python code writes to it in
    // another thread in the meantime, the bytes read may be torn, as for any reader.
    #[expect(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
    }
}

/// Where a buffer's memory is.
pub(in crate::py) fn address(buffer: &PyUntypedBuffer) -> usize {
    buffer.buf_ptr().addr()
}

/// The bytes of a block. They are writable, because a block belongs to one process.
#[pyclass(frozen, name = "SharedBuffer", module = "futures_actors._core")]
pub(in crate::py) struct SharedBuffer {
    block: Arc<Block>,
}

impl SharedBuffer {
    pub(in crate::py) fn new(block: Arc<Block>) -> Self {
        Self { block }
    }
}

#[pymethods]
impl SharedBuffer {
    #[expect(unsafe_code)]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let block = &slf.get().block;
        let start = block.start();
        let len = ffi::Py_ssize_t::try_from(block.len_bytes())?;
        // SAFETY: the interpreter passes `view` to be filled. The memory is mapped for as long as the
        // block lives; the object holds the block, and the view holds the object.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.as_ptr().cast(), len, 0, flags)
        };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}
