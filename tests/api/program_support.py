"""What the tests of the program share: a tiny random model in a folder of its own, running a verb, and the list of cases.

Each test is called as: TEST PROGRAM WRITE_TINY_MODEL [NAME-OF-A-CASE...]
"""
import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
MODEL = str(pathlib.Path(FOLDER.name) / "tiny.gguf")
VOCABULARY = 300
# The program's own caches of whoever runs this stay as they are. Compiled kernels come from the driver's, where it has them: to compile them takes the longest.
DRIVER_CACHE = {"MESA_SHADER_CACHE_DIR": os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")}
ENVIRONMENT = {**DRIVER_CACHE, **os.environ, "XDG_CACHE_HOME": FOLDER.name}
CASES = []


def case(function):
    CASES.append(function)
    return function


def quire(*arguments, stdin=b"", code=0):
    """Output and messages. Fails if the exit code is another."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr.decode(errors='replace')}"
    return done.stdout, done.stderr.decode()


def main(name):
    """Runs the cases, prints the closing line that ./check adds up, and returns the exit code."""
    subprocess.run([sys.argv[2], MODEL], check=True)
    passed = failed = 0
    for function in CASES:
        if sys.argv[3:] and function.__name__ not in sys.argv[3:]:
            continue
        try:
            function()
            passed += 1
        except (AssertionError, subprocess.SubprocessError, ValueError, KeyError) as problem:
            failed += 1
            print(f"{type(problem).__name__}: {problem}")
            print(f"TEST CASE: {name}: {function.__name__.replace('_', ' ')}")
    print(f"totals: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0
