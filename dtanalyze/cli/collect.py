"""``dtanalyze collect``."""

from pathlib import Path
from typing import Annotated, Final

from dtanalyze.cli.console import LeaveError, fail, say
from dtanalyze.cli.option import Argument, Option
from dtanalyze.cli.run import held_to_limits
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.report.foreign import document
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

sudo dtanalyze collect report.tar.gz

xl dmesg > xl-dmesg.txt; dmesg > dmesg.txt; sudo dtanalyze collect report.tar.gz board.dtb xl-dmesg.txt dmesg.txt

dtanalyze verify report.tar.gz
"""


def command(
    archive: Annotated[str, Argument(metavar="ARCHIVE.tar.gz", help="The archive to write; it must not exist.")],
    files: Annotated[
        list[str] | None,
        Argument(metavar="FILE...", help="Files to add: the board's tree, xl dmesg, dmesg.", show_default=False),
    ] = None,
    *,
    live: Annotated[bool, Option("--live/--no-live", help="Read this system: its tree, /proc/iomem, …")] = True,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be taken and removed; write nothing.")] = False,
) -> None:
    """Write one archive for a bug report.

    Removed are seeds, keys, serial numbers, UUIDs and machine IDs, names of hosts and users, who built Xen or the kernel,
    mail addresses, shell prompts, MAC, IPv4 and IPv6 addresses, network settings. What was taken is listed. No program is
    run.
    A file that cannot be read or looked through is named and left out.

    Exit status: 0 everything was taken, 2 something was left out or nothing could be written.
    """
    from dtanalyze.cli.evidence import complain_of, evidence
    from dtanalyze.inputs.collecting import collected, written

    if not archive.endswith((".tar.gz", ".tgz")):
        fail(f"{archive}: name an archive that ends in .tar.gz")
    with held_to_limits("the evidence"):
        found = list(collected(evidence(files or [], live=live)))
        left_out = [item for item in found if isinstance(item, InputFailure)]
        taken = [item for item in found if not isinstance(item, InputFailure)]
        if not found:
            raise UsageError("there is nothing to take: this system has no /sys/firmware/fdt, and no file was named")
        if taken and not dry_run:
            written(Path(archive), taken, left_out, __version__)
    lines = []
    for item in taken:
        lines.append(f"{item.name}: {item.source}, {len(item.data)} bytes")
        lines += [f"    removed: {what}" for what in item.removed]
    say(document(lines))
    for failure in left_out:
        complain_of(failure, left_out=bool(taken))
    if left_out:
        raise LeaveError(2)
