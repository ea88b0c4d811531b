"""A loop that stops itself (SIGSTOP) where a test wants it: `python -m … URL SOURCE AT`.

AT is `reading` (what it has read grows old) or `holding` (it holds the lock, in its transaction).
"""

from __future__ import annotations

import os
import signal
import sys

from reconciler.core.setting_values import SourceSetting
from reconciler.loops import run
from reconciler.loops.triggers import Triggers
from reconciler.store.apply import execute
from reconciler.store.connection import session
from reconciler.store.db import Database


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(url: str, source: str, at: str) -> None:
    session.IDLE_TIMEOUT_MS = 1500  # type: ignore[misc]  # else a minute
    module, name = (run, "apply") if at == "reading" else (execute, "carry_out")
    result = getattr(module, name)

    def stopping(*args: object, **kwargs: object) -> object:
        setattr(module, name, result)
        _tell("stopping")
        os.kill(os.getpid(), signal.SIGSTOP)
        return result(*args, **kwargs)

    setattr(module, name, stopping)
    loop = run.Loop(Database(url, "stopped"), Triggers(SourceSetting(source)), "loop:stopped")
    _tell(f"again {loop.one_pass().value} {loop.trouble}")
    _tell(f"again {loop.one_pass().value} {loop.trouble}")


if __name__ == "__main__":
    main(*sys.argv[1:])
