#!/usr/bin/env bash
# One comment on the pull request, made anew at each push: it begins with a mark that it is known by.
# A change that introduces nothing gets none, unless there is one already.
set -euo pipefail
mark='<!-- dtanalyze -->'
most=60000 # GitHub takes 65536 letters
body=$(mktemp)
trap 'rm -f "$body"' EXIT
{
	printf '%s\n' "$mark"
	if [ "$(wc -c <"$COMMENT")" -gt "$most" ]; then
		head -c "$most" "$COMMENT" | sed '$d'
		printf '\n… the rest stands in `comment.md` of the artifact `dtanalyze`.\n'
	else
		cat "$COMMENT"
	fi
} >"$body"
comments="repos/$REPOSITORY/issues/$PULL_REQUEST/comments"
known=$(gh api "$comments" --paginate --jq ".[] | select(.body | startswith(\"$mark\")) | .id" | tail -n 1)
if [ -n "$known" ]; then
	gh api --silent --method PATCH "repos/$REPOSITORY/issues/comments/$known" --field "body=@$body"
elif grep -q '^#' "$COMMENT"; then
	gh api --silent --method POST "$comments" --field "body=@$body"
fi
