#!/bin/sh
# Provisions what the tests drive: the published Python SDK, CLI and dev server below tests/.provision, and the published
# TypeScript SDK in tests/sdk/typescript/node_modules. The test run calls it by itself. Does nothing when nothing changed.
# PostgreSQL and MariaDB come from the system: where they are missing, root gets them from Debian's packages, and anybody
# else is told.
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

postgres() {
    for programs in /usr/lib/postgresql/*/bin; do
        if [ -x "$programs/initdb" ]; then return; fi
    done
    if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql
    else
        echo "tests/provision.sh: PostgreSQL 15 or newer is missing (Debian: apt-get install postgresql)" >&2
        exit 1
    fi
}

mariadb() {
    if command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends mariadb-server
    else
        echo "tests/provision.sh: MariaDB 10.11 or newer is missing (Debian: apt-get install mariadb-server)" >&2
        exit 1
    fi
}

mkdir -p "$provision"
postgres
mariadb
once python python_sdk "$python"
once typescript typescript_sdk "$typescript/package.json" "$typescript/package-lock.json"
