#!/usr/bin/env bash
# npm ci in the given directories, or npm install where there is no lock file, each only when that, or package.json, is
# newer than what is installed. Without npm the tests of Node clients are skipped on a laptop, and with CI=true this fails.
set -euo pipefail

for directory in "$@"; do
    installed=$directory/node_modules/.package-lock.json
    wanted=$directory/package-lock.json
    [[ -e $wanted ]] || wanted=$directory/package.json
    [[ $installed -nt $wanted ]] && continue
    if ! command -v npm >/dev/null; then
        echo "npm is not installed, so the tests of Node clients are skipped" >&2
        [[ ${CI:-} != true ]]
        exit
    fi
    if [[ $wanted == */package-lock.json ]]; then
        npm ci --prefix "$directory" --no-audit --no-fund --loglevel=error
    else
        npm install --prefix "$directory" --no-package-lock --no-audit --no-fund --loglevel=error
    fi
    touch "$installed"
done
