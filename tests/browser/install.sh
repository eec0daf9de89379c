#!/bin/sh
# What the tests in a browser need beside Python: Debian's Chromium, and axe-core, which finds what
# shuts readers out. Without them those tests are skipped and say so, so nothing here fails.
#
# tests/browser/install.sh FOLDER    axe-core goes into FOLDER, which git ignores
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
said() {
    echo "tests/browser: no $1: $(tail -n 1 "$log")" >&2
}

if ! command -v chromium >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        wait="-o Acquire::http::Timeout=20 -o Acquire::Retries=1 -o DPkg::Lock::Timeout=60"
        # shellcheck disable=SC2086 # several words
        { apt-get $wait update && apt-get $wait install --yes --no-install-recommends chromium; } \
            >"$log" 2>&1 || said chromium
    else
        echo "not root, or no apt-get; install the package chromium" >"$log"
        said chromium
    fi
fi

if [ ! -f "$1/node_modules/axe-core/axe.min.js" ]; then
    if command -v npm >/dev/null; then
        npm install --prefix "$1" --no-save --no-audit --no-fund --ignore-scripts \
            --fetch-retries=1 --fetch-timeout=30000 axe-core@4.14.1 >"$log" 2>&1 || said axe-core
    else
        echo "there is no npm" >"$log"
        said axe-core
    fi
fi
