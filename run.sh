#!/usr/bin/env bash
# Makes .venv from the lock files when it is missing or stale, then runs `python -m harness "$@"`.
# More verbs: `test [pytest arguments]`, `test-faults [WORD ...]`, `test-fuzz [arguments]` and
# `benchmark NAME [arguments]`.
set -euo pipefail

fail() {  # exit codes are those of harness/cli.py
    printf 'run.sh: error: %s\n' "$2" >&2
    exit "$1"
}

system=$(type -P "${HARNESS_PYTHON:-python3.11}") ||
    fail 3 "${HARNESS_PYTHON:-python3.11} not found. Install Python 3.11 (apt-get install python3.11), or name one: HARNESS_PYTHON=/path/to/python3.11 ./run.sh"
system=$(realpath -s -- "$system")
cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")"
unset PYTHONPATH PYTHONHOME  # nothing from outside .venv may leak in

case ${1-} in
    -h | --help) exec "$system" -m harness --help ;;
    benchmark) [[ -n ${2-} ]] || fail 2 "benchmark: name a module of benchmarks/, such as ./run.sh benchmark bundled.make" ;;
esac

# A stamp stands for the locks and the Python they were installed for (size and time change with its
# version): comparing it needs no Python to start.
stamp() {
    local digest
    digest=$({ stat -Lc '%n %s %Y' -- "$system" && cat -- harness/setup_env.py "$@"; } | sha256sum)
    printf '%s' "${digest%% *}"
}
is_current() { [[ -x .venv/bin/python && -r .venv/$1.stamp && $(<".venv/$1.stamp") == "$2" ]]; }

locks=(requirements/build.lock requirements/run.lock)
wanted=("run=$(stamp "${locks[@]}")")
case ${1-} in
    test | test-faults | test-fuzz) wanted+=("test=$(stamp "${locks[@]}" requirements/{fleet,test}.lock)") ;;
    fleet) wanted+=("fleet=$(stamp "${locks[@]}" requirements/fleet.lock)") ;;
esac
for each in "${wanted[@]}"; do
    is_current "${each%%=*}" "${each#*=}" && continue
    "$system" -I harness/setup_env.py "${wanted[@]}"
    break
done

native=$PWD/.venv/lib/native  # OpenMP and quadmath, where the system has none
[[ ! -d $native ]] || export LD_LIBRARY_PATH=$native${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

python=$PWD/.venv/bin/python
case ${1-} in
    test) exec "$python" -m pytest "${@:2}" ;;
    test-faults | test-fuzz) PYTHONPATH=$PWD/tests exec "$python" -m "${1#test-}" "${@:2}" ;;
    benchmark) exec "$python" -m "benchmarks.$2" "${@:3}" ;;
    *) exec "$python" -m harness "$@" ;;
esac
