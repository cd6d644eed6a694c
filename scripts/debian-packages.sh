#!/usr/bin/env bash
# Installs the programs that tests run and pip can't bring. Where that is not possible, their tests are skipped on a
# laptop, and with CI=true this fails.
set -euo pipefail

declare -A package_of=([h2load]=nghttp2-client [nghttpd]=nghttp2-server [curl]=curl)

missing() {
    for program in "${!package_of[@]}"; do
        command -v "$program" >/dev/null || echo "${package_of[$program]}"
    done
}

mapfile -t packages < <(missing)
[[ ${#packages[@]} -eq 0 ]] && exit 0

as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo -n)
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
    mapfile -t packages < <(missing)
fi

[[ ${#packages[@]} -eq 0 ]] && exit 0
echo "not installed, so their tests are skipped: ${packages[*]}" >&2
[[ ${CI:-} != true ]]
