#!/usr/bin/env bash
# One run of the checks in a GitHub job: annotations on stdout, files in CHECK_OUTPUT, the comment's text in comment.md.
# Paths come in by the environment, a line each, and never become part of a command.
set -uo pipefail
dtanalyze=${DTANALYZE:-dtanalyze}
out=${CHECK_OUTPUT:-dtanalyze-out}
mkdir -p "$out"

paths=()
while IFS= read -r line; do
	[ -z "${line//[[:space:]]/}" ] || paths+=("$line")
done <<<"${TREES:-}"
read -r -a args <<<"${CHECK_ARGS:-}"
if [ ${#paths[@]} -eq 0 ]; then
	echo "::error title=dtanalyze::paths names no tree"
	status=2
else
	# Patterns are expanded by dtanalyze itself, so that a file's name is never split.
	"$dtanalyze" check "${args[@]}" \
		--format github --annotate-limit 30 \
		--format sarif --output "$out/dtanalyze.sarif" \
		--format junit --output "$out/dtanalyze.junit.xml" \
		--format markdown --output "$out/report.md" \
		-- "${paths[@]}"
	status=$?
	"$dtanalyze" map "${args[@]}" --html "$out/map.html" -- "${paths[@]}" >/dev/null || true
fi

: >"$out/comment.md"
if [ -n "${BASE_FOLDER:-}" ] && [ ${#paths[@]} -gt 0 ]; then
	# Findings are known by node, not by address; includes of before are those of before.
	for path in "${paths[@]}"; do
		"$dtanalyze" diff "${args[@]}" --old-root "$BASE_FOLDER" --format markdown -- "$path" "$path" >>"$out/comment.md" || true
	done
elif [ -f "$out/report.md" ]; then
	cat "$out/report.md" >"$out/comment.md"
fi
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$out/comment.md" >>"$GITHUB_STEP_SUMMARY"
[ -z "${GITHUB_OUTPUT:-}" ] || echo "status=$status" >>"$GITHUB_OUTPUT"
[ -n "${GITHUB_OUTPUT:-}" ] || exit "$status"
