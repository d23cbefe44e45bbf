"""What tests ask Windows about processes, where other systems have /proc."""

import ctypes
import msvcrt
import os
from ctypes import wintypes

_kernel = ctypes.WinDLL("kernel32", use_last_error=True)
_nt = ctypes.WinDLL("ntdll")

_SYNCHRONIZE = 0x00100000
_WAIT_TIMEOUT = 0x102
_SNAP_PROCESSES = 2
_SNAP_THREADS = 4
_EXTENDED_HANDLE_INFORMATION = 64
_INFO_LENGTH_MISMATCH = 0xC0000004


class _ThreadEntry(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("usage", wintypes.DWORD),
        ("thread", wintypes.DWORD),
        ("owner", wintypes.DWORD),
        ("priority", wintypes.LONG),
        ("delta", wintypes.LONG),
        ("flags", wintypes.DWORD),
    )


class _ProcessEntry(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("usage", wintypes.DWORD),
        ("process", wintypes.DWORD),
        ("heap", ctypes.c_size_t),
        ("module", wintypes.DWORD),
        ("threads", wintypes.DWORD),
        ("parent", wintypes.DWORD),
        ("priority", wintypes.LONG),
        ("flags", wintypes.DWORD),
        ("file", ctypes.c_char * 260),
    )


class _Handle(ctypes.Structure):
    _fields_ = (
        ("object", ctypes.c_void_p),
        ("process", ctypes.c_size_t),
        ("handle", ctypes.c_size_t),
        ("rest", wintypes.DWORD * 4),
    )


class _Memory(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("faults", wintypes.DWORD),
        ("peak", ctypes.c_size_t),
        ("resident", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
    )


_kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_kernel.OpenProcess.restype = wintypes.HANDLE
_kernel.WaitForSingleObject.argtypes = (wintypes.HANDLE, wintypes.DWORD)
_kernel.WaitForSingleObject.restype = wintypes.DWORD
_kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel.GetCurrentProcess.restype = wintypes.HANDLE
_kernel.CreateToolhelp32Snapshot.argtypes = (wintypes.DWORD, wintypes.DWORD)
_kernel.CreateToolhelp32Snapshot.restype = wintypes.HANDLE
_kernel.Thread32First.argtypes = (wintypes.HANDLE, ctypes.POINTER(_ThreadEntry))
_kernel.Thread32Next.argtypes = (wintypes.HANDLE, ctypes.POINTER(_ThreadEntry))
_kernel.Process32First.argtypes = (wintypes.HANDLE, ctypes.POINTER(_ProcessEntry))
_kernel.Process32Next.argtypes = (wintypes.HANDLE, ctypes.POINTER(_ProcessEntry))
_kernel.PeekNamedPipe.argtypes = (
    wintypes.HANDLE,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.c_void_p,
    ctypes.POINTER(wintypes.DWORD),
    ctypes.c_void_p,
)
_kernel.K32GetProcessMemoryInfo.argtypes = (
    wintypes.HANDLE,
    ctypes.POINTER(_Memory),
    wintypes.DWORD,
)


def is_gone(pid):
    """Whether a process has ended."""
    handle = _kernel.OpenProcess(_SYNCHRONIZE, False, pid)
    if not handle:
        return True
    try:
        return _kernel.WaitForSingleObject(handle, 0) != _WAIT_TIMEOUT
    finally:
        _kernel.CloseHandle(handle)


def can_be_read(descriptor):
    """Whether a pipe has bytes to read, or has ended."""
    waiting = wintypes.DWORD()
    pipe = msvcrt.get_osfhandle(descriptor)
    if not _kernel.PeekNamedPipe(pipe, None, 0, None, ctypes.byref(waiting), None):
        return True
    return waiting.value > 0


def _entries(kind, structure, walk):
    """Yield the system's processes or threads, each in the same structure."""
    first, following = walk
    snapshot = _kernel.CreateToolhelp32Snapshot(kind, 0)
    entry = structure(ctypes.sizeof(structure))
    try:
        more = first(snapshot, ctypes.byref(entry))
        while more:
            yield entry
            more = following(snapshot, ctypes.byref(entry))
    finally:
        _kernel.CloseHandle(snapshot)


def children(pid):
    """Return the living processes that a process, or another one of these, has started."""
    found = [pid]
    walk = _kernel.Process32First, _kernel.Process32Next
    parents = [(one.process, one.parent) for one in _entries(_SNAP_PROCESSES, _ProcessEntry, walk)]
    for one in found:
        found += [child for child, parent in parents if parent == one and child not in found]
    return [one for one in found if one != pid and not is_gone(one)]


def handles():
    """Return the handles of this process."""
    size = 1 << 20
    while True:
        table = ctypes.create_string_buffer(size)
        status = _nt.NtQuerySystemInformation(_EXTENDED_HANDLE_INFORMATION, table, size, None)
        if ctypes.c_uint32(status).value != _INFO_LENGTH_MISMATCH:
            break
        size *= 2
    assert status == 0, hex(status)
    count = ctypes.c_size_t.from_buffer(table).value
    # The count is followed by a number that is not used.
    all_of_them = (_Handle * count).from_buffer(table, 2 * ctypes.sizeof(ctypes.c_size_t))
    return {one.handle for one in all_of_them if one.process == os.getpid()}


def threads():
    """Return the numbers of this process's threads."""
    walk = _kernel.Thread32First, _kernel.Thread32Next
    every = _entries(_SNAP_THREADS, _ThreadEntry, walk)
    return [one.thread for one in every if one.owner == os.getpid()]


def resident_bytes():
    """Return how much memory this process has."""
    memory = _Memory(ctypes.sizeof(_Memory))
    _kernel.K32GetProcessMemoryInfo(_kernel.GetCurrentProcess(), ctypes.byref(memory), memory.size)
    return memory.resident
