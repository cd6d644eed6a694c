#!/usr/bin/env bash
# Installs Home Assistant core into an environment of its own: home-assistant.sh DIRECTORY [PYTHON]. It runs on Python
# 3.11 and 3.12 only. Where there is none, its tests are skipped on a laptop, and with CI=true this fails.
set -euo pipefail

directory=$1
requirements=$(dirname "$0")/home-assistant.txt
[[ $directory/.installed -nt $requirements ]] && exit

fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null
}

for python in "${2:-python3}" python3 python3.11 python3.12; do
    fits "$python" && break
    python=
done

if [[ -n $python ]]; then
    rm -rf "$directory"
    "$python" -m venv "$directory"
    if "$directory/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --use-pep517 \
        --requirement "$requirements"; then
        touch "$directory/.installed"
        exit
    fi
fi

echo "Home Assistant core was not installed (it wants Python 3.11 or 3.12), so its tests are skipped" >&2
[[ ${CI:-} != true ]]
