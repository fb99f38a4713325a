"""Write the JSON schemas of every answer and of the settings file: ``python docs/make_schemas.py docs/schema``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from dtanalyze.controls.schema import settings_schema
from dtanalyze.report.command_schemas import COMMAND_SCHEMAS
from dtanalyze.report.schema import report_schema

__all__ = ["SCHEMAS", "written"]

SCHEMAS: Final = {
    "report.schema.json": report_schema,
    "dtanalyze.schema.json": settings_schema,
    **{f"{name}.schema.json": make for name, make in COMMAND_SCHEMAS.items()},
}


def written(schema: dict[str, Any]) -> str:
    """Return the file's content."""
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, make in SCHEMAS.items():
        (folder / name).write_text(written(make()), encoding="utf-8")
