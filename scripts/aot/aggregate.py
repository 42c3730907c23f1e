"""List where the bytes of a compiled program go: a text that the scripts beside this one write.

python scripts/aot/aggregate.py build/aot/dit-split.txt 20
python scripts/aot/aggregate.py build/aot/dit-split.txt 20 --instructions
"""

import argparse
import collections
import re
from pathlib import Path

import hlo


def main() -> None:
    """Print the largest groups of kernels in a training step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("top", type=int, nargs="?", default=20, help="rows to print")
    parser.add_argument("--instructions", action="store_true", help="instructions one by one, not in groups")
    chosen = parser.parse_args()
    program = hlo.parse(chosen.file.read_text())
    for body in program.loop_bodies():
        rows = program.statistics(body)
        hlo.report(rows)
        if chosen.instructions:
            for row in sorted(rows, reverse=True)[: chosen.top]:
                print(
                    f"{row.bytes / 1e6:9.1f} MB x{row.count:3d} {row.name:38s} {row.label[:34]:34s} "
                    f"{row.type[:110]} | {row.op_name[-110:]}"
                )
        else:
            print_groups(rows, chosen.top)


def print_groups(rows: list[hlo.Row], top: int) -> None:
    """Kernels and bytes by phase of the step, kind, last part of the name, and type of the result."""
    groups = collections.defaultdict(lambda: [0, 0])
    phases = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        kind = "product" if "gemm" in row.label or "cublas" in row.label else ""
        phase = phase_of(row.op_name)
        key = (phase, kind, row.op_name.split("/")[-1], first_type(row.type))
        for sums in (groups[key], phases[phase, kind]):
            sums[0] += row.count
            sums[1] += row.bytes
    for key, (count, size) in sorted(groups.items(), key=lambda item: -item[1][1])[:top]:
        print(f"{size / 1e9:7.2f} GB {count:5d} {key}")
    for key, (count, size) in phases.items():
        print(f"{size / 1e9:7.2f} GB {count:5d} {key}")


def phase_of(op_name: str) -> str:
    """Backward pass, forward pass with derivatives, or the rest."""
    if "transpose(" in op_name:
        return "backward"
    return "forward" if "jvp" in op_name else "rest"


def first_type(type_: str) -> str:
    """The first array of a type, without axes of blocks (12) and lanes (1) before its own."""
    found = re.match(r"\(?(\w+\[[\d,]*\])", type_)
    return re.sub(r"^(\w+)\[(?:12,)?(?:1,)?", r"\1[", found.group(1)) if found else ""


if __name__ == "__main__":
    main()
