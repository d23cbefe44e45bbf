"""Arrays that tests send, and how they compare what comes back."""

import numpy as np

MIB = 1 << 20
#: A buffer of this length crosses in shared memory, a shorter one through the pipe.
THRESHOLD = 16 * 1024


def numbers(length_bytes=MIB):
    return np.arange(length_bytes // 8, dtype=np.int64)


def same(got, sent):
    if isinstance(sent, np.ndarray):
        assert type(got) is type(sent)
        assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
        np.testing.assert_array_equal(got, sent)
    else:
        assert type(got) is type(sent)
        assert got == sent
