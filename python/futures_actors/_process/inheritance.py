"""What a fresh process inherits from this one, so that children of the fork server have it too.

The server inherited it when it was started. What a child can set for itself goes with each request.
If anything else has changed since, another server must be started.
"""

import os
import sys
from typing import NamedTuple

#: Lines of /proc/.../status: user and groups, session, privileges and processors. They are those of
#: the calling thread, from which a fresh process would inherit them.
_FIXED = (
    *(b"Uid", b"Gid", b"Groups", b"NSpgid", b"NSsid"),
    *(b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb"),
    *(b"NoNewPrivs", b"Seccomp", b"Seccomp_filters", b"Cpus_allowed", b"Mems_allowed"),
)

if sys.platform != "win32":
    import resource

    _LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]

#: Prefixes of variables that the interpreter, the C library or the loader reads only once, when a
#: process starts.
_READ_ONCE = (b"PYTHON", b"LC_", b"LANG", b"LD_", b"MALLOC_", b"GLIBC_")


class Inheritance(NamedTuple):
    """What this process and the calling thread have at the moment."""

    environ: dict[bytes, bytes]
    umask: int
    #: The ignored signals as bits; the lowest bit is signal 1.
    ignored: int
    #: What a child cannot set for itself. It compares equal if nothing has changed.
    fixed: tuple[object, ...]


def look() -> Inheritance:
    """Return what a child that is started now must have.

    Raises `OSError` if the kernel does not tell, for example without /proc.
    """
    with open("/proc/thread-self/status", "rb") as file:  # noqa: PTH123 - a kernel's file
        status = file.read()
    # Without regular expressions, which would be compiled for this alone.
    lines = (line.partition(b":") for line in status.splitlines())
    fields = {name: value for name, _, value in lines}
    umask, ignored = fields.get(b"Umask"), fields.get(b"SigIgn")
    if umask is None or ignored is None:
        raise OSError("/proc/thread-self/status does not tell the umask and the ignored signals")
    fixed: list[object] = [*map(fields.get, _FIXED)]
    # The same as dict(os.environb), at a tenth of its time.
    environ = dict(os.environb._data)  # type: ignore[attr-defined] # noqa: SLF001
    # Sorted: the same variables have another order in a process that got them from this one.
    fixed += sorted(item for item in environ.items() if item[0].startswith(_READ_ONCE))
    fixed += map(resource.getrlimit, _LIMITS)
    root = os.stat("/")  # noqa: PTH116 - what os.chroot changes
    fixed += [root.st_dev, root.st_ino, os.getpriority(os.PRIO_PROCESS, 0), sys.executable]
    return Inheritance(environ, int(umask, 8), int(ignored, 16), tuple(fixed))
