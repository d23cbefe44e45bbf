//! Which member has a key: the same one in every process, for keys that are plain data.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::py::interpreter::daemon_threads::outlast;

/// Spreads the bits of a number over all of it (splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// FNV-1a.
fn hash_bytes(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Where the pool is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Here,
    /// In another process, in which the hash of a key must be the same.
    Elsewhere,
}

/// A hash of `key`. Equal keys have equal hashes. Those of `str`, `bytes`, `int`, `float`, `bool`,
/// `None`, and tuples of these, are the same in every process, also those of subclasses without a
/// `__hash__` of their own. Others have the hash that Python gives them, which may be this process's alone.
fn hash(key: &Bound<'_, PyAny>, reach: Reach) -> PyResult<u64> {
    let py = key.py();
    if has_hash_in_python(key)? {
        return hash_of_python(key, reach);
    }
    // The hash that the type itself gives: numbers that are equal have the same, whatever their type.
    let plain = |number: Bound<'_, PyAny>| {
        let hash: i64 = number.call_method1("__hash__", (key,))?.extract()?;
        Ok(mix(hash.cast_unsigned()))
    };
    if let Ok(text) = key.cast::<PyString>() {
        if let Ok(text) = text.to_str() {
            return Ok(hash_bytes(text.as_bytes()));
        }
        // It has surrogates.
        let encode = py.get_type::<PyString>().getattr("encode")?;
        let bytes = encode.call1((text, "utf-8", "surrogatepass"))?;
        return Ok(hash_bytes(bytes.cast::<PyBytes>()?.as_bytes()));
    }
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(hash_bytes(bytes.as_bytes()));
    }
    if key.is_instance_of::<PyBool>() || key.is_instance_of::<PyInt>() {
        return plain(py.get_type::<PyInt>().into_any());
    }
    if let Ok(number) = key.cast::<PyFloat>() {
        // Python hashes a NaN by its address.
        return if number.value().is_nan() {
            Ok(mix(0x006e_616e))
        } else {
            plain(py.get_type::<PyFloat>().into_any())
        };
    }
    if let Ok(tuple) = key.cast::<PyTuple>() {
        let start = mix(tuple.len() as u64);
        return tuple.iter().try_fold(start, |before, item| {
            Ok(mix(before.rotate_left(5) ^ hash(&item, reach)?))
        });
    }
    if key.is_none() {
        return Ok(mix(0x6e6f_6e65));
    }
    hash_of_python(key, reach)
}

/// Whether the key's class has a `__hash__` written in Python, or is not hashable. Then other keys may be
/// equal to it than its plain data says.
fn has_hash_in_python(key: &Bound<'_, PyAny>) -> PyResult<bool> {
    let kind = key.get_type();
    let py = key.py();
    let is_plain = kind.is(py.get_type::<PyString>())
        || kind.is(py.get_type::<PyInt>())
        || kind.is(py.get_type::<PyBytes>())
        || kind.is(py.get_type::<PyTuple>());
    if is_plain {
        return Ok(false);
    }
    let of_object = py.get_type::<PyAny>().getattr(intern!(py, "__hash__"))?;
    let hash = kind.getattr(intern!(py, "__hash__"))?;
    Ok(!hash.get_type().is(of_object.get_type()))
}

/// For keys that are not plain data.
fn hash_of_python(key: &Bound<'_, PyAny>, reach: Reach) -> PyResult<u64> {
    let hash = key.hash()?;
    if reach == Reach::Elsewhere {
        let kind = key.get_type();
        return Err(PyTypeError::new_err(format!(
            "the pool is in another process, where {} may have another hash: there a key is a str, bytes, \
             int, float, bool, None, or a tuple of these",
            kind.name()?
        )));
    }
    Ok(mix((hash as i64).cast_unsigned()))
}

/// The member that has `key`, of `members`.
pub(super) fn member_of(key: &Bound<'_, PyAny>, members: usize, reach: Reach) -> PyResult<usize> {
    // It may have a `__hash__` of its own.
    outlast();
    let hash = hash(key, reach).map_err(|error| {
        if !error.is_instance_of::<PyTypeError>(key.py()) || key.hash().is_ok() {
            return error;
        }
        let text = format!("a key must be hashable: {}", error.value(key.py()));
        PyTypeError::new_err(text)
    })?;
    // The high half of the product: as even as the hash, for any number of members.
    let place = (u128::from(hash) * members as u128) >> 64;
    Ok(usize::try_from(place).unwrap_or_default())
}
