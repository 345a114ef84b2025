"""Where nothing else is installed: the package imports nothing that is not Python's own, and the pages' examples run."""

import re
import sys
import time
from pathlib import Path

before = set(sys.modules)
start = time.perf_counter()
import tacitly  # noqa: E402

seconds = time.perf_counter() - start
# Python 3.9 does not know the names of its own modules.
own = set(getattr(sys, "stdlib_module_names", sys.modules)) | {"tacitly"}
foreign = {name.partition(".")[0] for name in set(sys.modules) - before} - own
assert not foreign, foreign
print(f"tacitly {tacitly.__version__} imports in {seconds:.3f} s on Python {sys.version.partition(' ')[0]}")

for page in map(Path, sys.argv[1:]):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    shown = [block for block in blocks if "simulate(" in block]
    assert shown, f"{page} shows a simulation"
    for block in shown:
        exec(compile(block, str(page), "exec"), {})
