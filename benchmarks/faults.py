"""Recall and precision of the rules over faults seeded into the shipped boards' own trees.

Recall: of the faults that a tree has a place for, how many are caught (or stay silent where they have to). Precision: of the
errors that are new in a seeded tree, how many are true: those of the fault itself and of what lies under it. Leaves with
status 1 when either is below 100 %.
"""

import sys
from pathlib import Path

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.analysis.selftest import selftest
from dtanalyze.linux.profile import PRESETS

BOARDS = Path(__file__).parents[1] / "fixtures" / "dtb" / "boards"

# RAM as these boards have it: their trees leave it to the boot loader or list a part.
RAM = {
    "apm-apm-mustang": AddressRange(0x4000000000, 2 * GIB),
    "arm-juno": AddressRange(0x80000000, GIB),
    "broadcom-bcm2711-rpi-4-b": AddressRange(0x0, 0x3B400000),
    "cavium-thunder-88xx": AddressRange(0x0, 2 * GIB),
    "exynos-exynos850-e850-96": AddressRange(0x80000000, GIB),
    "freescale-fsl-ls1028a-kontron-sl28-var2": AddressRange(0x80000000, GIB),
    "freescale-imx8mp-evk": AddressRange(0x40000000, 2 * GIB),
    "hisilicon-hip07-d05": AddressRange(0x0, GIB),
    "marvell-cn9130-crb-A": AddressRange(0x0, GIB),
    "qcom-apq8039-t2": AddressRange(0x80000000, GIB),
    "qcom-sc7280-herobrine-zombie": AddressRange(0x80000000, GIB),
    "rockchip-rk3399-rockpro64": AddressRange(0x200000, 2 * GIB),
    "ti-k3-am625-sk": AddressRange(0x80000000, GIB),
    "xilinx-zynqmp-zcu102-rev1.0": AddressRange(0x0, 2 * GIB - 0x100000),
}


def main() -> int:
    """Try every fault on every board; print a line for each board, what went wrong, and both figures."""
    options = CheckOptions(linux=PRESETS["6.12"])
    tried = right = errors = false = 0
    for path in sorted(BOARDS.glob("*.dtb")):
        trials = selftest(path.read_bytes(), path.name, options, (RAM[path.stem],))
        seeded = [trial for trial in trials if not trial.skipped]
        good = [trial for trial in seeded if trial.caught or not trial.expected]
        wrong = [item for trial in seeded for item in trial.false]
        tried, right = tried + len(seeded), right + len(good)
        errors, false = errors + sum(len(trial.caught) for trial in seeded) + len(wrong), false + len(wrong)
        left = len(trials) - len(seeded)
        print(f"{path.stem:42} {len(good):2} of {len(seeded):2} told right, {len(wrong)} false, {left} not tried")
        for trial in seeded:
            if not trial.passed:
                print(f"    {trial.fault}: {[(item.rule, item.message) for item in trial.false] or 'missed'}")
    print(f"recall: {right} of {tried} = {100 * right / tried:.1f} %")
    print(f"precision: {errors - false} of {errors} findings = {100 * (errors - false) / errors:.1f} %")
    return 0 if right == tried and not false else 1


if __name__ == "__main__":
    sys.exit(main())
