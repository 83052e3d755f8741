#!/usr/bin/env bash
# tpu-mlir 1.30.2 (PyPI wheel, Linux x86-64, Python 3.10) brings libc.so.6, libm.so.6 and libpthread.so.0 of glibc 2.35 and puts
# their folder before the system's for all programs that it starts. With another system's loader none of them starts, not
# even `true`. Taking the files away cures it.
# Exit 0: as described. Exit 1: the behaviour changed. Exit 3: no Python 3.10, no package, or a system with glibc 2.35.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
case "$(getconf GNU_LIBC_VERSION)" in *" 2.35") echo "this system has the same glibc"; exit 3 ;; esac
python3 -m venv "$work/venv"
"$work/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.10 \
  --platform manylinux2014_x86_64 --platform manylinux_2_35_x86_64 --platform any -d "$work" tpu-mlir==1.30.2 || exit 3
(cd "$work" && python3 -m zipfile -e tpu_mlir-*.whl unpacked)
libraries="$work/unpacked/tpu_mlir/lib/third_party"
getconf GNU_LIBC_VERSION
"$work/venv/bin/python" - "$libraries/libc.so.6" <<'PYTHON'
import re, sys
print("bundled:", re.search(rb"GNU C Library [^\n]*", open(sys.argv[1], "rb").read())[0].decode())
PYTHON
code=0
LD_LIBRARY_PATH="$libraries" /bin/true || code=$?
rm "$libraries"/{libc,libm}.so.6 "$libraries"/libpthread.so.0
after=0
LD_LIBRARY_PATH="$libraries" /bin/true || after=$?
echo "exit code of true: $code with the bundled libraries before the system's, $after without"
[ "$code" != 0 ] && [ "$after" = 0 ]
