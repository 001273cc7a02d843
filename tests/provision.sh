#!/bin/sh
# Provisions what the tests drive: the published Python SDK, CLI and dev server below tests/.provision, and the published
# TypeScript SDK in tests/sdk/typescript/node_modules. The test run calls it by itself. Does nothing when nothing changed.
set -eu
cd "$(dirname "$0")"
provision=.provision
python=sdk/python/requirements.txt
typescript=sdk/typescript

# Runs "$2" unless it already succeeded for the same content of the files "$3"...
once() {
    stamp=$provision/$1.stamp
    step=$2
    shift 2
    wanted=$(cksum "$@" provision.sh)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
    rm -f "$stamp"
    "$step"
    echo "$wanted" >"$stamp"
}

python_sdk() {
    rm -rf "$provision/python"
    python3 -m venv "$provision/python"
    "$provision/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$python"
    "$provision/python/bin/pip" check
}

typescript_sdk() {
    (cd "$typescript" && npm ci --no-audit --no-fund --loglevel=error)
}

mkdir -p "$provision"
once python python_sdk "$python"
once typescript typescript_sdk "$typescript/package.json" "$typescript/package-lock.json"
