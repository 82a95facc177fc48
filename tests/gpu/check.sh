#!/bin/sh
# Check what only a GPU can show, and print one table. PYTHON names the interpreter (default: .venv, else python3).
set -eu
cd "$(dirname "$0")/../.."
[ -x .venv/bin/python ] && found=.venv/bin/python || found=python3
export HF_HUB_OFFLINE=1  # no check needs the network
exec "${PYTHON:-$found}" -m tests.gpu.check
