//! Python's buffer protocol: the bytes of an object that pickles out of band, and an object whose
//! bytes are a block of shared memory.
//!
//! With `unsafe`, as `engine/sys/` and `interpreter.rs`: the protocol is one of raw pointers.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::engine::arena::Block;
use crate::engine::ipc::body::MAX_REFERENCES;

/// What is at least so long crosses in shared memory, what is shorter in the frame. Measured: see
/// `bench/README.md`.
pub(in crate::py) const THRESHOLD_BYTES: usize = 16 * 1024;

/// Takes the buffers that pickle offers to leave out, if they are big or plain bytes: its
/// `buffer_callback`.
#[pyclass(frozen)]
pub(in crate::py) struct Collector {
    taken: Mutex<Vec<PyUntypedBuffer>>,
}

#[pymethods]
impl Collector {
    /// Whether pickle is to keep this one.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        // As bytes in a row: PyO3 has no buffers without a dimension, which numpy has.
        let raw = buffer.call_method0(intern!(buffer.py(), "raw"))?;
        let buffer = PyUntypedBuffer::get(&raw)?;
        if buffer.len_bytes() < THRESHOLD_BYTES && !is_of_bytes(&raw)? {
            return Ok(true);
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // One place is for the pickle itself.
        if taken.len() + 1 < MAX_REFERENCES {
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

/// Whether a buffer is of plain bytes, which somebody has wrapped by hand: nothing is made of it
/// but a view, and that must be the same type whatever its length.
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

/// What takes the place of a buffer: a view of it, which has a length and items.
pub(super) fn view<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyMemoryView::from(owner)?.into_any())
}

/// The memory of a buffer that pickle has offered, which is contiguous.
pub(in crate::py) fn bytes(buffer: &PyUntypedBuffer) -> &[u8] {
    if buffer.len_bytes() == 0 {
        return &[];
    }
    // SAFETY: the exporter keeps this memory where it is for as long as the buffer is held. It is
    // contiguous: pickle refuses others before it offers them. Should Python code write to it
    // meanwhile, in another thread, what is read is as torn as any reader's in that case.
    #[expect(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
    }
}

/// Where a buffer's memory is.
pub(in crate::py) fn address(buffer: &PyUntypedBuffer) -> usize {
    buffer.buf_ptr().addr()
}

/// The bytes of a block, writable: whoever has the block has it alone.
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
        // SAFETY: `view` is the interpreter's to fill. The memory is mapped for as long as the
        // block lives, which the object has, and the view holds the object.
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
