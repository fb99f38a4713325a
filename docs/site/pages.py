"""What the site adds to the documents: a page for each rule, and links out of the repository that lead to it.

Called by mkdocs while it builds (``make site``); the files in ``docs/`` stay readable where they lie.
"""

from __future__ import annotations

import re
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HOME: Final = "https://github.com/dtanalyze/dtanalyze/blob/main/"
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>dtanalyze in the browser</title>
<p>This site was built without the page that runs the analyzer: <code>make site</code> adds it where npm is installed.</p>
</html>
"""
"""What stands at the place of that page until ``web/build.py`` has made it."""
_RULE: Final = re.compile(r"^## (?P<code>[A-Z]+(?:-[a-z-]+|\d+))$", re.M)


def rule_pages(text: str) -> tuple[str, dict[str, str]]:
    """Cut the catalogue into what stands before the rules, with what stands behind them, and a page for each code."""
    heads = list(_RULE.finditer(text))
    tail = text.find("\n## What no rule reports")
    ends = [head.start() for head in heads[1:]] + [tail if tail > 0 else len(text)]
    pages = {
        head["code"]: f"# {head['code']}\n{text[head.end() : end].rstrip()}\n" for head, end in zip(heads, ends, strict=True)
    }
    index = text[: heads[0].start()] + (text[tail:] if tail > 0 else "")
    return re.sub(r"\]\(#([a-z]+(?:-[a-z-]+|\d+))\)", r"](rules/\1.md)", index), pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the one document of all rules by its index and a page each, and say where the page that runs it comes from."""
    files.append(File.generated(config, "try/index.html", content=_NOT_BUILT))
    whole = files.get_file_from_path("rules.md")
    if whole is None:
        return files
    index, pages = rule_pages(whole.content_string)
    files.remove(whole)
    files.append(File.generated(config, "rules.md", content=index))
    for code, text in pages.items():
        files.append(File.generated(config, f"rules/{code.lower()}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # mkdocs passes them by name
    """Lead links to files beside ``docs/`` to the repository."""
    return re.sub(r"\]\(\.\./(?!try/)([^)]+)\)", rf"]({HOME}\1)", markdown)
