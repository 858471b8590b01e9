#!/usr/bin/env bash
# Installs the Debian packages that kvd needs, if any is missing.
#
#   deploy/install-packages.sh build|test|bench|sanitizers
#
# build: what a release build and the quick start need; test: that, and what the tests need; bench:
# that, and the peers to compare with; sanitizers: what the tests need, and clang with its tools.
# Servers among them (prometheus, etcd, redis) are wanted as programs: none is started as a service.
set -euo pipefail
build=(g++ cmake ninja-build pkg-config ccache libgrpc++-dev libgrpc-dev protobuf-compiler-grpc
  protobuf-compiler libprotobuf-dev librocksdb-dev libabsl-dev prometheus-cpp-dev libcli11-dev
  libspdlog-dev libisal-dev libcivetweb-dev libedit-dev libzstd-dev liblz4-dev libxxhash-dev
  libsimdjson-dev libsnappy-dev libbz2-dev zlib1g-dev libssl-dev libre2-dev libc-ares-dev libjemalloc-dev libgflags-dev
  libcurl4-openssl-dev liblua5.4-dev wamerican procps curl)
tests=(libgtest-dev libgmock-dev libbenchmark-dev nlohmann-json3-dev python3 git prometheus
  iproute2 nftables iptables strace e2fsprogs mount util-linux)
bench=(etcd-server redis-server redis-tools)
sanitizers=(clang-14 clang clang-format clang-tidy libclang-rt-14-dev llvm-14)
case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${tests[@]}") ;;
  bench) wanted=("${build[@]}" "${tests[@]}" "${bench[@]}") ;;
  sanitizers) wanted=("${build[@]}" "${tests[@]}" "${sanitizers[@]}") ;;
  *) echo "usage: $0 build|test|bench|sanitizers" >&2; exit 2 ;;
esac
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "$0: need root or sudo to install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp)
# What Debian asks before a package starts a service. One that is there already is the machine's own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod +x $policy
  trap '"${as_root[@]}" rm -f $policy' EXIT
fi
if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  echo "$0: could not install the packages; the whole log is $log" >&2
  exit 1
fi
rm -f "$log"
# Nor at the next boot.
for package in "${missing[@]}"; do
  case $package in
    prometheus | redis-server) unit=$package ;;
    etcd-server) unit=etcd ;;
    *) continue ;;
  esac
  command -v systemctl >/dev/null || continue
  "${as_root[@]}" systemctl --quiet disable "$unit" 2>/dev/null || echo "$0: could not disable the service $unit" >&2
done
