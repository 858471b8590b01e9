#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. The last line says how many passed.
#
#   tests/run.sh [--long] [CTEST ARGUMENT ...]
#   tests/run.sh --sanitizers [STEP ...]
#
# --long runs tests/long.sh afterwards: what takes too long for every change. --sanitizers runs
# tests/sanitizers.sh instead.
set -euo pipefail
cd "$(dirname "$0")/.."
long=0
[ "${1:-}" = --long ] && { long=1; shift; }
[ "${1:-}" = --sanitizers ] && { shift; exec tests/sanitizers.sh "$@"; }
case "${1:-}" in --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
deploy/install-packages.sh test
cmake --preset tests >/dev/null
cmake --build --preset tests
status=0
ctest --test-dir .build/tests -j "$(nproc)" --output-on-failure --no-tests=error --output-junit junit.xml "$@" || status=$?
python3 - .build/tests/junit.xml <<'PY'
import sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot()
failed = int(suite.get("failures", 0))
skipped = int(suite.get("skipped", 0)) + int(suite.get("disabled", 0))
passed = int(suite.get("tests", 0)) - failed - skipped
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
PY
[ $long = 0 ] || tests/long.sh || status=1
exit $status
