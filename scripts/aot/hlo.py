"""Kernels and bytes of an optimised GPU program in HLO text. Slices inside of fusions count what they read."""

import collections
import re
from typing import NamedTuple

BYTES = {
    "pred": 1, "s8": 1, "u8": 1, "f8e4m3fn": 1, "f8e5m2": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2,
    "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "token": 0,
}  # fmt: skip
SHAPE = re.compile(rf"\b({'|'.join(BYTES)})\[([0-9,]*)\]")
COMPUTATION = re.compile(r"^(ENTRY )?%([\w.\-]+) \(.*\{\s*$")
INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
NAME = re.compile(r"%([\w.\-]+)")
CALLED = re.compile(
    r"\b(body|condition|to_apply|calls|true_computation|false_computation|called_computations)=\{?%([\w.\-]+)"
)
FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id", "replica-id",
}  # fmt: skip
"""Operations without a kernel."""
SAME_ELEMENTS = ("bitcast", "convert", "reshape")
SLICES = ("slice", "dynamic-slice", "gather")
CONTROL = ("while", "conditional", "call")


class Instruction(NamedTuple):
    """A line of a computation; ``rest`` begins with the operation."""

    name: str
    type: str
    op: str
    rest: str
    is_root: bool

    def operands(self) -> list[str]:
        """Names of the instructions that it reads."""
        return NAME.findall(self.rest[: _closing(self.rest, self.rest.index("("))])

    def called(self) -> dict[str, str]:
        """Computations by their part: body, condition, calls, branch0 and so on."""
        found = dict(CALLED.findall(self.rest))
        if branches := re.search(r"branch_computations=\{([^}]*)\}", self.rest):
            names = NAME.findall(branches.group(1))
            found |= {f"branch{index}": name for index, name in enumerate(names)}
        return found


class Row(NamedTuple):
    """An instruction of a program that runs: bytes of all its runs, how often it runs, what it is."""

    bytes: int
    count: int
    name: str
    label: str
    type: str
    op_name: str


class Program:
    """Computations of a program, by name, and its entry."""

    def __init__(self, computations: dict[str, list[Instruction]], entry: str):
        self.computations = computations
        self.entry = entry

    def loop_bodies(self) -> list[str]:
        """Bodies of the loops in the entry: the training step, in a program that trains."""
        return [each.called()["body"] for each in self.computations[self.entry] if each.op == "while"]

    def statistics(self, computation: str, count: int = 1) -> list[Row]:
        """A row per kernel and control operation of a computation that runs ``count`` times, and of what it calls."""
        rows: list[Row] = []
        types = {each.name: each.type for each in self.computations[computation]}
        for each in self.computations[computation]:
            if each.op in FREE or each.op.endswith("-done"):
                continue
            called = each.called()
            if each.op == "while":
                known = re.search(r'known_trip_count"?:\{"n":"(\d+)"', each.rest)
                trips = int(known.group(1)) if known else 1
                label = f"while (trips {trips if known else '?'})"
                rows.append(Row(0, count, each.name, label, each.type, ""))
                for part in ("body", "condition"):
                    rows += self.statistics(called[part], count * trips)
            elif each.op in CONTROL:
                rows.append(Row(0, count, each.name, each.op, each.type, ""))
                for name in called.values():
                    rows += self.statistics(name, count)
            else:
                rows.append(self._kernel(each, types, count))
        return rows

    def _kernel(self, each: Instruction, types: dict[str, str], count: int) -> Row:
        inner = each
        if each.op in ("fusion-start", "async-start"):
            # The computation of an asynchronous operation holds the fusion.
            held = self.computations.get(each.called().get("calls", ""), [])
            inner = next((one for one in held if one.op == "fusion"), each)
        fused = inner.called().get("calls")
        if inner.op in ("fusion", "fusion-start") and fused in self.computations:
            size = self._fusion_bytes(fused)
        else:
            size = num_bytes(each.type) + sum(num_bytes(types.get(name, "")) for name in each.operands())
        label = each.op
        if "fusion" in each.op or inner.op == "fusion":
            kind = re.search(r"kind=(\w+)", inner.rest)
            backend = re.search(r'"fusion_backend_config":\{"kind":"([\w$]+)"', inner.rest)
            label = ("async " if each.op != "fusion" else "") + f"fusion:{kind.group(1) if kind else ''}"
            label += f":{backend.group(1)}" if backend else ""
        elif each.op == "custom-call":
            target = re.search(r'custom_call_target="([^"]+)"', each.rest)
            label = f"custom:{target.group(1) if target else ''}"
        op_name = re.search(r'op_name="([^"]*)"', inner.rest)
        return Row(count * size, count, each.name, label, each.type, op_name.group(1) if op_name else "")

    def _fusion_bytes(self, computation: str) -> int:
        """Bytes that a fused computation reads and writes."""
        inside = {each.name: each for each in self.computations[computation]}
        users = collections.defaultdict(list)
        for each in inside.values():
            if each.op != "parameter":
                for name in each.operands():
                    users[name].append(each)

        def readers(name: str) -> list[tuple[Instruction, str]]:
            """Who reads a value, through operations that keep its elements, and under which name."""
            found = []
            for user in users[name]:
                found += readers(user.name) if user.op in SAME_ELEMENTS else [(user, name)]
            return found

        total = 0
        for each in inside.values():
            if each.op == "parameter":
                whole, read = num_bytes(each.type), 0
                for user, via in readers(each.name):
                    is_source = user.operands()[:1] == [via]
                    if user.op in SLICES and is_source:
                        read += num_bytes(user.type) * width(each.type) // max(width(user.type), 1)
                    elif not (user.op == "dynamic-update-slice" and is_source):  # updated in place: not read
                        read += whole
                total += min(whole, read)

        def written(name: str) -> int:
            each = inside[name]
            if each.op == "tuple":
                return sum(written(part) for part in each.operands())
            if each.op == "bitcast":
                return written(each.operands()[0])
            if each.op == "dynamic-update-slice":
                return num_bytes(inside[each.operands()[1]].type)
            return num_bytes(each.type)

        return total + sum(written(each.name) for each in inside.values() if each.is_root)


def parse(text: str) -> Program:
    """The program of an HLO text.

    Raises:
        ValueError: no ENTRY in it.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if head := COMPUTATION.match(line):
            current = head.group(2)
            computations[current] = []
            entry = current if head.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := INSTRUCTION.match(line)):
            type_, rest = _split_type(found.group(3))
            op = re.match(r"([\w\-]+)\(", rest)
            is_root = found.group(1) is not None
            computations[current].append(
                Instruction(found.group(2), type_, op.group(1) if op else "?", rest, is_root)
            )
    if not entry:
        raise ValueError("no ENTRY computation: expected the text of a compiled program (HLO)")
    return Program(computations, entry)


def num_bytes(type_: str) -> int:
    """Bytes of all arrays of a type."""
    total = 0
    for dtype, sizes in SHAPE.findall(type_):
        count = 1
        for size in sizes.split(","):
            count *= int(size or 1)
        total += count * BYTES[dtype]
    return total


def width(type_: str) -> int:
    """Bytes of an element of the first array of a type."""
    found = SHAPE.search(type_)
    return BYTES[found.group(1)] if found else 4


def report(rows: list[Row]) -> tuple[int, int]:
    """Print kernels and bytes by label, most bytes first; returns their sums."""
    sums = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        sums[row.label][0] += row.count
        sums[row.label][1] += row.bytes
    for label, (count, size) in sorted(sums.items(), key=lambda item: -item[1][1]):
        print(f"  {label:55s} {count:6d} {size / 1e6:12.2f} MB")
    kernels = [row for row in rows if not row.label.startswith(CONTROL)]
    count, size = sum(row.count for row in kernels), sum(row.bytes for row in kernels)
    print(f"  kernels {count}, bytes {size / 1e9:.3f} GB")
    return count, size


def _split_type(text: str) -> tuple[str, str]:
    """Type and the rest of what stands behind the "=" of an instruction."""
    end = _closing(text, 0) + 1 if text.startswith("(") else len(text.split(maxsplit=1)[0])
    return text[:end], text[end:].lstrip()


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at ``start`` closes."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return len(text)
