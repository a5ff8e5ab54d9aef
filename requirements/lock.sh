#!/bin/sh
# Re-lock from pyproject.toml, build.in, readers.in and engines/*.in; needs uv on PATH. Pins stay while they fit:
# `--upgrade` takes the newest of all, `--upgrade-package NAME` of one.
set -eu
cd "$(dirname "$0")/.."

UV_CUSTOM_COMPILE_COMMAND=requirements/lock.sh
export UV_CUSTOM_COMPILE_COMMAND
options="--quiet --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28
         --default-index https://pypi.org/simple"

# shellcheck disable=SC2086  # options is a list of words
{
    uv pip compile $options "$@" pyproject.toml -o requirements/run.lock
    uv pip compile $options "$@" requirements/build.in -c requirements/run.lock -o requirements/build.lock
    uv pip compile $options "$@" --group fleet -c requirements/run.lock -o requirements/fleet.lock
    uv pip compile $options "$@" --group test -c requirements/run.lock -c requirements/fleet.lock -o requirements/test.lock
    uv pip compile $options "$@" requirements/readers.in -o requirements/readers.lock  # what reads exports
    for engine in requirements/engines/*.in; do  # of their own: their NumPy excludes MXNet's
        uv pip compile $options --emit-find-links "$@" "$engine" -o "${engine%.in}.lock"
    done
}
