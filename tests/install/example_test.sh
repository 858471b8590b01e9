#!/usr/bin/env bash
# Installs the build into an empty prefix, builds the example against what is installed, and runs it
# against an installed kvd.
#
#   example_test.sh BUILD_DIRECTORY SOURCE_DIRECTORY
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cp -r "$source/client/example" "$work/example"
cmake -G Ninja -S "$work/example" -B "$work/built" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/built" >/dev/null
for port in 33101 33201 33301 33401; do
  "$work/prefix/bin/kvd" --listen 127.0.0.1:$port --data-dir "$work/data" >"$work/log" 2>&1 & pid=$!
  for _ in $(seq 100); do
    curl -s -o /dev/null http://127.0.0.1:$((port + 1))/healthz && break 2
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
  done
done
export LD_LIBRARY_PATH=$work/prefix/lib:$work/prefix/lib/x86_64-linux-gnu
first=$("$work/built/example" 127.0.0.1:$port)
second=$("$work/built/example" 127.0.0.1:$port)
echo "$second"
grep -qx 'visits: 1' <<<"$first"
grep -qx 'visits: 2' <<<"$second"
grep -qx 'lock: taken' <<<"$second"
grep -qx 'example/b = 2' <<<"$second"
# A worker program, built likewise, in a worker process.
cmake -G Ninja -S "$source/mapreduce/examples/native" -B "$work/words" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/words" >/dev/null
# No store runs a program that its group or others may change, whatever the umask here.
chmod 755 "$work/words" "$work/words/words"
words=$(printf '1\tto be or\n2\tnot to be\n' | "$build/bin/run_worker" "$work/words/words" min_letters=2 2>/dev/null)
[ "$words" = $'be\t2\nnot\t1\nor\t1\nto\t2' ] || { echo "words: $words"; exit 1; }
[ -x "$work/prefix/bin/kvd-worker" ] || { echo "not installed: kvd-worker"; exit 1; }
for file in share/bash-completion/completions/kvctl share/zsh/site-functions/_kvctl share/fish/vendor_completions.d/kvctl.fish; do
  [ -s "$work/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
# Every command that kvctl has is completed.
for command in $("$work/prefix/bin/kvctl" --help | awk '/^Subcommands:/ {on = 1; next} on && /^  [a-z]/ {print $1}'); do
  grep -qw "$command" "$work/prefix/share/bash-completion/completions/kvctl" ||
    { echo "bash completion lacks: $command"; exit 1; }
done
