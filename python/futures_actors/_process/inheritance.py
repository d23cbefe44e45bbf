"""What a fresh process would inherit from this one, for the fork server's children to have it too.

The server was such a process when it was started. What a child can set for itself goes with each
request; if anything else has changed since, another server must be started.
"""

import os
import resource
import sys
from dataclasses import dataclass

#: In /proc/.../status: user and groups, session, rights and processors. Those of the thread that
#: asks, from which a fresh process would have them.
_FIELDS = frozenset({
    b"Uid", b"Gid", b"Groups", b"NSpgid", b"NSsid", b"CapInh", b"CapPrm", b"CapEff", b"CapBnd",
    b"CapAmb", b"NoNewPrivs", b"Seccomp", b"Seccomp_filters", b"Cpus_allowed", b"Mems_allowed",
})  # fmt: skip

_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]

#: Variables that the interpreter, the C library or its loader reads once, when a process starts.
_READ_ONCE = (b"PYTHON", b"LC_", b"LANG", b"LD_", b"MALLOC_", b"GLIBC_")


@dataclass(frozen=True)
class Inheritance:
    """What this process, and the thread that asks, have at the moment."""

    environ: dict[bytes, bytes]
    umask: int
    #: The signals that are ignored, as a set of bits: signal 1 is the lowest.
    ignored: int
    #: What a child cannot set for itself: equal if it has not changed.
    fixed: tuple[object, ...]


def look() -> Inheritance:
    """Find out what a child that is started now is to have.

    Raises `OSError` where the kernel does not tell, as without /proc.
    """
    fixed: list[object] = []
    found: dict[bytes, bytes] = {}
    with open("/proc/thread-self/status", "rb") as status:  # noqa: PTH123 - a kernel's file
        for line in status:
            name, _, value = line.partition(b":")
            if name in _FIELDS:
                fixed.append(line)
            elif name in (b"Umask", b"SigIgn"):
                found[name] = value
    if len(found) < 2:  # noqa: PLR2004 - the two above
        raise OSError("/proc/thread-self/status does not tell the umask and the ignored signals")
    environ = dict(os.environb)
    fixed += [item for item in environ.items() if item[0].startswith(_READ_ONCE)]
    fixed += map(resource.getrlimit, _LIMITS)
    root = os.stat("/")  # noqa: PTH116 - what os.chroot changes
    fixed += [root.st_dev, root.st_ino, os.getpriority(os.PRIO_PROCESS, 0), sys.executable]
    return Inheritance(environ, int(found[b"Umask"], 8), int(found[b"SigIgn"], 16), tuple(fixed))
