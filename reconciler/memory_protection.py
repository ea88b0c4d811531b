"""The memory of a process that holds keys: in no core dump, and in reach of no other process."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h

_log = logging.getLogger(__name__)


def protect_memory() -> None:
    """Let no core dump be written of this process and its children, and no debugger be attached.

    prctl(2): a process that is not dumpable can be traced, and its memory read, by root alone. An
    exec makes it dumpable again, so children have the limit of core dumps only.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        _log.warning("the memory of this process is not protected: prctl: %s", reason)
