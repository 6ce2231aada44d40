#!/usr/bin/env bash
# Installs the distribution packages that the build (and, with `check`, the tests) need.
# Run:     sudo ./tools/setup.sh [build|check]
# Sourced: setup_packages build|check, by ./quickstart and ./check.

setup_build_packages=(g++ cmake ninja-build ccache pkg-config git python3 python3-pip libvulkan-dev libvulkan1 mesa-vulkan-drivers glslc
  spirv-tools nlohmann-json3-dev libcli11-dev libpcre2-dev)
setup_check_packages=(vulkan-validationlayers doctest-dev)
# Software Vulkan older than this lacks what the engine requires, or is far slower.
setup_mesa_minimum=24
setup_lock_wait_seconds=300

setup_fail() {
  echo "setup: $1" >&2
  return 1
}

# setup_os_field NAME: a field of os-release, or nothing.
setup_os_field() (
  [[ -r /etc/os-release ]] || exit 0
  . /etc/os-release
  echo "${!1:-}"
)

setup_mesa_is_new() {
  local version
  version=$(dpkg-query -W -f='${Version}' mesa-vulkan-drivers 2>/dev/null) || return 1
  dpkg --compare-versions "$version" ge "$setup_mesa_minimum"
}

# Prints those of the given packages that are not installed, and Mesa if it is too old.
setup_missing() {
  local package status
  for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=absent
    if [[ $status != installed ]] || { [[ $package == mesa-vulkan-drivers ]] && ! setup_mesa_is_new; }; then
      echo "$package"
    fi
  done
}

# setup_suite_source SUITE: prints a deb822 stanza for SUITE-backports with the location and key of the machine's own entry for SUITE.
setup_suite_source() {
  local suite=$1 file
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ -r $file ]] || continue
    # A stanza ends at an empty line; a continued line (an embedded key) begins with a space.
    awk -v suite="$suite" '
      function flush_stanza() {
        if (!disabled && types ~ /(^| )deb( |$)/ && (" " suites " ") ~ (" " suite " ") && uris != "") {
          print "Types: deb\nURIs: " uris "\nSuites: " suite "-backports\nComponents: main" (key != "" ? "\nSigned-By:" key : "")
          found = 1; exit
        }
        types = suites = uris = key = field = ""; disabled = 0
      }
      /^[ \t]*$/ { flush_stanza(); next }
      /^#/ { next }
      /^[ \t]/ { if (field == "signed-by") key = key "\n" $0; next }
      {
        colon = index($0, ":"); field = tolower(substr($0, 1, colon - 1)); value = substr($0, colon + 1); trimmed = value
        gsub(/^[ \t]+|[ \t]+$/, "", trimmed)
        if (field == "types") types = trimmed
        if (field == "suites") suites = trimmed
        if (field == "uris") uris = trimmed
        if (field == "signed-by") key = value
        if (field == "enabled" && tolower(trimmed) == "no") disabled = 1
      }
      END { if (!found) flush_stanza(); exit !found }' "$file" && return 0
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ -r $file ]] || continue
    awk -v suite="$suite" '
      $1 == "deb" {
        first = 2; key = ""
        if ($2 ~ /^\[/) {
          while ($first !~ /\]$/) first++
          options = ""
          for (i = 2; i <= first; i++) options = options " " $i
          if (match(options, /signed-by=[^] ]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
          first++
        }
        if ($(first + 1) == suite) {
          print "Types: deb\nURIs: " $first "\nSuites: " suite "-backports\nComponents: main" (key != "" ? "\nSigned-By: " key : "")
          found = 1; exit
        }
      }
      END { exit !found }' "$file" && return 0
  done
  return 1
}

# apt-get waits for dpkg's lock by itself, but not for the lock of its package lists.
setup_apt_update() {
  local waited=0 output
  until output=$(LC_ALL=C apt-get update 2>&1); do
    if [[ $output != *"Could not get lock"* ]]; then
      echo "$output" >&2
      setup_fail "apt-get update failed (its message is above): is there a network?"
      return 1
    fi
    if ((waited >= setup_lock_wait_seconds)); then
      setup_fail "another package manager has held its lock for $setup_lock_wait_seconds s: let it finish, then run this again"
      return 1
    fi
    ((waited > 0)) || echo "setup: waiting for another package manager to finish" >&2
    sleep 5
    waited=$((waited + 5))
  done
}

setup_apt_install() {
  local code=0
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o "DPkg::Lock::Timeout=$setup_lock_wait_seconds" "$@" >&2 || code=$?
  ((code == 0)) || setup_fail "apt-get install failed with exit code $code (its message is above)"
}

setup_debian_12() {
  local release=() package source_file=/etc/apt/sources.list.d/quire-backports.sources
  local plain=()
  for package in "$@"; do
    if [[ $package == mesa-vulkan-drivers ]]; then release+=("$package"); else plain+=("$package"); fi
  done
  if ((${#release[@]})) && ! apt-cache policy 2>/dev/null | grep -q 'n=bookworm-backports\|a=\(old\)*stable-backports'; then
    local stanza
    stanza=$(setup_suite_source bookworm) ||
      { setup_fail "no entry for 'bookworm' in /etc/apt/sources.list or sources.list.d, so the place of bookworm-backports is unknown"; return 1; }
    printf '# Added by Quire for a newer Mesa; remove it freely.\n%s\n' "$stanza" >"$source_file"
    echo "setup: added $source_file" >&2
  fi
  setup_apt_update || return 1
  ((${#plain[@]} == 0)) || setup_apt_install "${plain[@]}" || return 1
  if ((${#release[@]})); then
    if ! apt-cache madison mesa-vulkan-drivers | grep -q 'bookworm-backports'; then
      rm -f "$source_file"
      setup_fail "the package source of this machine has no bookworm-backports with mesa-vulkan-drivers"
      return 1
    fi
    setup_apt_install -t bookworm-backports "${release[@]}" || return 1
  fi
}

# setup_packages build|check: returns at once, without network, when everything is there.
setup_packages() {
  local wanted=("${setup_build_packages[@]}") missing id version
  [[ $1 == build ]] || wanted+=("${setup_check_packages[@]}")
  id=$(setup_os_field ID)
  version=$(setup_os_field VERSION_ID)
  if ! command -v dpkg-query >/dev/null; then
    setup_fail "this system ($id $version) has no dpkg; install the equivalents of: ${wanted[*]} (see README.md, Building by hand)"
    return 1
  fi
  mapfile -t missing < <(setup_missing "${wanted[@]}")
  ((${#missing[@]})) || return 0
  if [[ $EUID -ne 0 ]]; then
    setup_fail "missing packages: ${missing[*]}. Install them with this one command, then run this again:
  sudo ./tools/setup.sh $1"
    return 1
  fi
  echo "setup: installing ${missing[*]}" >&2
  case "$id $version" in
    "debian 12") setup_debian_12 "${missing[@]}" || return 1 ;;
    "ubuntu 24.04")
      echo "setup: Ubuntu 24.04 with its stock Mesa: not tested by the project" >&2
      setup_apt_update && setup_apt_install "${missing[@]}" || return 1
      ;;
    *)
      setup_fail "packages are installed on Debian 12 and Ubuntu 24.04 only; this is $id $version. Install by hand: ${missing[*]}"
      return 1
      ;;
  esac
  mapfile -t missing < <(setup_missing "${wanted[@]}")
  ((${#missing[@]} == 0)) || setup_fail "still missing or too old after installing: ${missing[*]}"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  set -euo pipefail
  case "${1:-check}" in
    build | check) setup_packages "${1:-check}" ;;
    *) setup_fail "usage: $0 [build|check]" || exit 2 ;;
  esac
fi
