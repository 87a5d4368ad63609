"""Runs test programs, several at a time, and prints what each said when it has ended.

Most of them wait most of the time: for a server to start, to fall, to come back. One after another, as `cargo test` has
them, they take twice as long. The fault matrix runs before all others: it judges what clients notice of a fault, and they
must not notice another program that takes the whole processor.

Usage: cargo test --no-run --message-format=json-render-diagnostics | python3 tests/side_by_side.py
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

AT_ONCE = 2
ALONE = ["fault_matrix"]
# What takes longest begins first, or the last of them would run alone.
LONGEST_FIRST = ["two_replicas", "events", "linearizability", "real_keystone", "schemathesis"]


def programs(messages):
    """The test programs in cargo's messages: package, name, path and the directory they expect to be in."""
    for line in messages:
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            directory = pathlib.Path(message["manifest_path"]).parent
            yield directory.name, message["target"]["name"], message["executable"], directory


def run(program):
    package, name, path, directory = program
    environment = dict(os.environ, CARGO=shutil.which("cargo"), CARGO_MANIFEST_DIR=str(directory))
    begun = time.monotonic()
    ended = subprocess.run(
        [path], cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = ended.stdout.decode(errors="replace")
    sys.stdout.write(f"\n     Running {package}: {name} ({time.monotonic() - begun:.0f} s)\n{said}")
    sys.stdout.flush()
    return ended.returncode == 0


def place(program):
    name = program[1]
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


found = sorted(programs(sys.stdin), key=place)
if not found:
    sys.exit("tests: cargo named no test programs")
alone = [program for program in found if program[1] in ALONE]
together = [program for program in found if program not in alone]
passed = [run(program) for program in alone]
with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    passed += pool.map(run, together)
failed = [program for program, has_passed in zip(alone + together, passed) if not has_passed]
for package, name, path, directory in failed:
    print(f"tests: {package}: {name} failed; again, alone: tests/run --workspace --test {name}", file=sys.stderr)
sys.exit(1 if failed else 0)
