#!/bin/bash -p
# Starts harness/__main__.py, which gets the environment ready (.venv, from the lock files) and runs
# a verb in it: one of the modules in harness/commands/. Help needs no environment.
#
# -p: BASH_ENV, CDPATH and functions of the user's shell count for nothing here. All ends in exec, so
# this process becomes the harness: nobody stands between it and its signals and its exit code.

shopt -s execfail
trap 'exit 3' EXIT  # an error of the harness (./run.sh --help): nothing that fails here is a verdict

fail() {
    printf 'run.sh: error: %s\n' "$1" >&2
    exit 3
}

script=$(realpath -- "${BASH_SOURCE[0]}") || fail "cannot tell where ${BASH_SOURCE[0]} is"
entry=${script%/*}/harness/__main__.py

named=${HARNESS_PYTHON:-python3.11}
found=$(type -P -- "$named") ||
    fail "$named not found. Install Python 3.11 (apt-get install python3.11), or name one: HARNESS_PYTHON=/path/to/python3.11 ./run.sh"
# The interpreter says which one it is, which also shows that it and the file start.
python=$("$found" -I "$entry" python) && [[ $python == /* && -x $python ]] ||
    fail "$found does not start $entry. Name another Python 3.11 (HARNESS_PYTHON=/path/to/python3.11 ./run.sh), or check the file"

exec "$python" -I "$entry" set-up "$@"
fail "$python could not be started"
