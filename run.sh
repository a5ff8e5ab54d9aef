#!/bin/bash -p
# Starts harness/__main__.py, which gets the environment ready (.venv, from the lock files) and runs
# a verb in it. More verbs than the harness has: `test [pytest arguments]`, `test-faults [WORD ...]`,
# `test-fuzz [arguments]` and `benchmark NAME [arguments]`.
#
# -p: BASH_ENV, CDPATH and functions of the user's shell count for nothing here. Everything ends in
# exec, so that this process becomes the harness: its signals and its exit code need nobody between.

shopt -s execfail
trap 'exit 3' EXIT  # exit codes are those of harness/cli.py: nothing that fails here is a verdict

fail() {
    printf 'run.sh: error: %s\n' "$1" >&2
    exit 3
}

named=${HARNESS_PYTHON:-python3.11}
found=$(type -P -- "$named") ||
    fail "$named not found. Install Python 3.11 (apt-get install python3.11), or name one: HARNESS_PYTHON=/path/to/python3.11 ./run.sh"

# The interpreter says itself which one it is: a shim, a link and a virtual environment all lead to
# the same. That it can say so also shows that it starts.
python=$("$found" -I -c 'import os, sys; print(os.path.realpath(sys._base_executable))') && [[ -x $python ]] ||
    fail "$found does not start as Python. Name one that does: HARNESS_PYTHON=/path/to/python3.11 ./run.sh"

script=$(realpath -- "${BASH_SOURCE[0]}") || fail "cannot tell where ${BASH_SOURCE[0]} is"
exec "$python" -I "${script%/*}/harness/__main__.py" set-up "$@"
fail "$python could not be started"
