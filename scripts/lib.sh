# Shared by the commands of this folder, which source it: finds the checkout and sets up .venv.
# Needs only a POSIX shell and Python >= 3.11 with pip. Touches nothing outside the checkout.

set -eu
unset CDPATH
root=$(cd -- "${orpheus_scripts:-$(dirname -- "$0")}/.." && pwd -P)
venv=$root/.venv
# An activated environment of something else must not be taken for ours.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH

say() { printf '%s\n' "$*" >&2; }
die() { say "$1"; exit "${2:-1}"; }

# Sets $python to an interpreter that is new enough; the real one, not a venv's or a shim.
find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        python=$("$candidate" -c '
import sys
if sys.version_info < (3, 11): sys.exit(1)
print(getattr(sys, "_base_executable", None) or sys.executable)' 2>/dev/null) || continue
        return
    done
    die 'Orpheus needs Python 3.11 or newer, and none was found on PATH.'
}

# What the environment depends on; a second run with the same answer has nothing to do.
fingerprint() {
    printf '%s|%s|%s' "$root" "$(cat "$root/uv.lock" "$root/pyproject.toml" | cksum)" \
        "$("$venv/bin/python" -V 2>/dev/null)"
}

# set_up run | test | bench: after it, .venv has what is needed to run, or to test too, or also
# the peers of the benchmark.
set_up() {
    stamp=$venv/orpheus-stamp
    if [ -r "$stamp" ]; then
        case $1:$(cat "$stamp") in
            "$1:$(fingerprint)|$1" | "$1:$(fingerprint)|bench" | "run:$(fingerprint)|test") return ;;
        esac
    fi
    find_python
    say "Setting up .venv (a minute the first time) ..."
    rm -f "$stamp"
    # --inexact: starting must not take the tools away that somebody installed for testing.
    case $1 in
        bench) groups='--dev --group bench' ;;
        test) groups=--dev ;;
        *) groups='--no-dev --inexact' ;;
    esac
    if command -v uv >/dev/null 2>&1 && sync_with uv; then :; else
        fetch_uv
        sync_with "$venv/tools/bin/uv" || die 'Set-up failed; the lines above say why.'
    fi
    printf '%s|%s' "$(fingerprint)" "$1" >"$stamp"
}

sync_with() {
    # shellcheck disable=SC2086
    UV_PROJECT_ENVIRONMENT=$venv UV_PYTHON_DOWNLOADS=never \
        "$1" sync --quiet --locked $groups --project "$root" --python "$python"
}

# A private uv inside .venv. `--target` needs neither ensurepip nor write access to the system's
# Python, so this works on Debian without python3-venv and where PEP 668 forbids `pip install`.
fetch_uv() {
    [ -x "$venv/tools/bin/uv" ] && return
    "$python" -m pip --version >/dev/null 2>&1 ||
        die "$python has no pip; install it (Debian: apt install python3-pip), or install uv."
    if [ ! -x "$venv/bin/python" ]; then
        rm -rf "$venv"
        "$python" -m venv --without-pip "$venv" || die 'python -m venv failed.'
    fi
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --target "$venv/tools" 'uv>=0.9' || die 'Could not install uv; see above.'
}
