#!/usr/bin/env bash
# The repository as it was before the change (BASE_COMMIT), beside the checkout, in BASE_FOLDER. Without it the comment tells all.
set -uo pipefail
if git cat-file -e "$BASE_COMMIT^{commit}" 2>/dev/null || git fetch --quiet --depth=1 origin "$BASE_COMMIT"; then
	git worktree add --quiet --force --detach "$BASE_FOLDER" "$BASE_COMMIT" && echo "folder=$BASE_FOLDER" >>"$GITHUB_OUTPUT" && exit 0
fi
echo "::notice title=dtanalyze::the commit before the change cannot be had: the comment tells all findings"
