"""Reads what cargo says of a build and prints where the test program `daemons` is. Run by python/test."""

import json
import sys

built = [json.loads(line) for line in sys.stdin if line.startswith("{")]
programs = [one["executable"] for one in built if one.get("executable") and one["target"]["name"] == "daemons"]
if not programs:
    sys.exit("cargo has built no test program `daemons`")
print(programs[-1])
