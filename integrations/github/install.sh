#!/usr/bin/env bash
# The program into an environment of its own (VENV), from the action's own source (SOURCE); dtc and cpp where the runner has none.
set -euo pipefail
python3 -m venv "$VENV"
"$VENV/bin/pip" install --quiet ${PIP_ARGS:-} "$SOURCE"
for tool in dtc cpp; do
	command -v "$tool" >/dev/null || missing=yes
done
if [ "${missing:-}" = yes ]; then
	sudo -n apt-get -qq update && sudo -n apt-get -qq install --yes --no-install-recommends device-tree-compiler cpp >/dev/null ||
		echo "::notice title=dtanalyze::dtc or cpp is missing and cannot be installed here: sources are not read"
fi
