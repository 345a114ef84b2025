#!/usr/bin/env python3
"""What a DataFrame costs beside a file: the same job, with the same two daemons in this process, both ways.

    python3 benches/python_frame.py [ROWS]

Needs the package installed as released (`pip install ./python`) and pandas with pyarrow. CPU time is of the process, so
both parties count. `file` is the Rust path: two registered CSV files, the job, and the result written as CSV; the
registration, which reads each file twice, is told apart. `frame` is all of it: pandas columns handed over, the job, and
the result taken from the frame.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import tacitly as tt


def clock():
    return time.process_time(), time.perf_counter()


def told(name, before, after):
    cpu, wall = (later - earlier for earlier, later in zip(before, after))
    print(f"{name:<22} {cpu:8.2f} s CPU {wall:8.2f} s")
    return cpu


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    pick = random.Random(1)
    numbers = pick.sample(range(10**9), rows + rows // 2)
    sides = {"bank": numbers[:rows], "shop": numbers[rows // 2 :]}
    frames = {}
    for name, side in sides.items():
        pick.shuffle(side)
        frames[name] = pd.DataFrame({"phone": [f"13{number:09}" for number in side], "n": range(rows)})

    with tt.simulate(list(sides)) as sim, tempfile.TemporaryDirectory() as folder:
        start = clock()
        for name, frame in frames.items():
            path = Path(folder, f"{name}.csv")
            frame.to_csv(path, index=False)
        told("(pandas writes CSV)", start, clock())
        start = clock()
        for name, peer in (("bank", "shop"), ("shop", "bank")):
            sim[name].add_dataset("numbers", Path(folder, f"{name}.csv"), {"phone": "cn-mobile"}, allow=[peer])
        registered = told("file: registration", start, clock())
        start = clock()
        job = sim["bank"].submit("align", {"bank": "numbers", "shop": "numbers"}, receivers="all")
        job.wait().write(Path(folder, "bank-out.csv"))
        sim["shop"].job(job.id).wait().write(Path(folder, "shop-out.csv"))
        file_cpu = told("file: job and result", start, clock())

        start = clock()
        hits = sim.align(frames, on="phone", normalise="cn-mobile")
        out = {name: hit.to_pandas() for name, hit in hits.items()}
        frame_cpu = told("frame: all of it", start, clock())
        assert len(out["bank"]) == rows // 2
        assert (out["bank"]["phone"].to_numpy() == out["shop"]["phone"].to_numpy()).all()
    print(f"frame / file: {frame_cpu / file_cpu:.2f}; with registration on both sides: "
          f"{frame_cpu / (file_cpu + registered):.2f}")


main()
