"""Progress of a job: one line on standard error, or whatever the caller does with it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Callable, Union

if TYPE_CHECKING:
    from ._records import JobRecord

Progress = Union[bool, Callable[["JobRecord"], object]]
"""``True`` for a line on standard error, a function to be shown every update, ``False`` for silence."""

_WIDTH = 24


class Line:
    """One line that is written over and over; where there is no terminal, a line for every new stage.

    Notebooks show standard error and follow carriage returns, so the same line serves there.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._stage = ""
        self._length = 0
        self._rewrites = sys.stderr.isatty() or "ipykernel" in sys.modules

    def __call__(self, job: JobRecord) -> None:
        stage = job.stage or job.state
        if not self._rewrites:
            if stage != self._stage:
                print(f"{job.title}: {stage}", file=sys.stderr)
            self._stage = stage
            return
        text = f"{job.title}: {stage}"
        if job.total:
            share = min(job.done / job.total, 1.0)
            bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
            text += f" [{bar}] {job.done:,}/{job.total:,}"
        text += f" {time.monotonic() - self._start:.0f} s"
        print("\r" + text.ljust(self._length), end="", file=sys.stderr, flush=True)
        self._length = len(text)

    def close(self) -> None:
        """Leaves the line as it stands."""
        if self._rewrites and self._length:
            print(file=sys.stderr)


def silent(_: JobRecord) -> None:
    """Shows nothing."""
