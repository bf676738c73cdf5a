#!/usr/bin/env bash
# Build this checkout's container image as an ordinary user: containers/build.sh [arguments of `apptainer build`]
# It needs the Internet, 20 GB in APPTAINER_TMPDIR (a local disk; /tmp if unset) and ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

stop() {
    echo "containers/build.sh: $1" >&2
    exit 1
}

apptainer=$(command -v apptainer || command -v singularity) ||
    stop "neither apptainer nor singularity is on PATH; load the site's module of it, or ask for Apptainer 1.2 or newer."
[[ $("$apptainer" build --help) == *--build-arg* ]] ||
    stop "$("$apptainer" --version) is too old; Apptainer 1.2, SingularityCE 4.0 or newer is needed."
command -v python3 >/dev/null || stop "python3 is not on PATH; it computes the image's name."
unshare --user true 2>/dev/null ||
    stop "this machine lets ordinary users make no user namespaces; build where they may, and copy the file here."
[[ $(id -u) == 0 ]] || grep -qsE "^($(id -un)|$(id -u)):" /etc/subuid || command -v fakeroot >/dev/null ||
    stop "$(id -un) has no line in /etc/subuid and there is no fakeroot command; ask for 'usermod --add-subuids'."

image=$(PYTHONPATH=workflow/scripts python3 -B -m tymbal.image)
if [[ -e $image ]]; then
    echo "$image is there already; remove it to build it again."
    exit
fi
version=${image#containers/tymbal-}
partial=containers/.$$.partial.sif
trap 'rm -f "$partial"' EXIT
"$apptainer" build --fakeroot --build-arg VERSION="${version%.sif}" "$@" "$partial" containers/tymbal.def ||
    stop "the build failed; above is why. If space or a network file system is to blame, set APPTAINER_TMPDIR."
mv "$partial" "$image"
echo "Built $image"
