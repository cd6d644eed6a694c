#!/usr/bin/env bash
# npm ci in the given directories, each only when its lock file is newer than what is installed. Without npm the tests
# of Node clients are skipped on a laptop, and with CI=true this fails.
set -euo pipefail

for directory in "$@"; do
    installed=$directory/node_modules/.package-lock.json
    [[ $installed -nt $directory/package-lock.json ]] && continue
    if ! command -v npm >/dev/null; then
        echo "npm is not installed, so the tests of Node clients are skipped" >&2
        [[ ${CI:-} != true ]]
        exit
    fi
    npm ci --prefix "$directory" --no-audit --no-fund --loglevel=error
    touch "$installed"
done
