"""Training speed of one config on the available device: several batch sizes, plain and split, beside its targets."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from toylab.bench.speed import Speed, ensemble_speed
from toylab.bench.targets import BATCH_SIZES, H100, LEAST_RATIO, MOST_BYTES, PEAKS, TARGETS
from toylab.config import RunConfig
from toylab.configs import config_names, named_config
from toylab.data import create_dataset
from toylab.data.images import image_sets
from toylab.devices.parallel import matmul_precision
from toylab.methods import methods
from toylab.storage.provenance import environment
from toylab.training.cost import cost

SPLIT, PLAIN = "split", "plain"
"""Kinds of steps: rows with r = t computed apart, as trained; every row through the Jacobian-vector product."""
Row = dict[str, Any]


def config_benchmark(
    config: RunConfig,
    name: str = "",
    batch_sizes: Sequence[int] = (),
    steps: int = 50,
    repeats: int = 3,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Steps and examples per second of ``config`` on one device, data drawing and optimiser included.

    Args:
        config: settings; where its images are not installed, random bytes of their sizes stand in for them.
        name: name of the packaged config, to find its targets; there are none if ``config`` changes its net.
        batch_sizes: by default those of ``BATCH_SIZES``, or the config's own; the smallest is timed first, since a
            device reports its largest memory use so far.
        steps: steps of each timed stretch, after a warm-up.
        repeats: number of stretches; the median is reported, and all of them.
        tell: called with a line before each measurement.

    Returns:
        a JSON-able dict: ``config``, ``settings``, ``data``; ``rows``, one per batch size and kind of step, see
        `_measured`, or with an ``error`` where memory was short; ``split_over_plain``, batch size -> ratio of
        speeds; ``targets`` on an H100 beside the measurements; ``device``, ``peak``: bfloat16
        operations per second by its data sheet, None where ``PEAKS`` does not know it; ``matmul_precision`` of
        float32 products; ``environment`` with versions, commit and date.

    Raises:
        ValueError: a bad setting, or training that diverged.
    """
    config, data = with_data_at_hand(config)
    sizes = sorted(set(batch_sizes)) or BATCH_SIZES.get(name, (config.batch_size,))
    device = jax.local_devices()[0]
    rows = []
    for size in sizes:
        for kind, changes in kinds_of_step(config).items():
            tell(f"batch {size}, {kind}: compiling, then {repeats} x {steps} steps")
            changed = config.replace(batch_size=size, **changes)
            rows.append(
                {"batch_size": size, "step": kind, "changes": changes, **_row(changed, steps, repeats)}
            )
    facts = {
        "config": name,
        "settings": config.to_dict(),
        "data": data,
        "steps": steps,
        "repeats": repeats,
        "rows": rows,
        "split_over_plain": _ratios(rows),
        "device": device.device_kind,
        "peak": PEAKS.get(device.device_kind),
        "matmul_precision": matmul_precision(),
        "environment": environment(),
    }
    return {**facts, "targets": targets(name, facts) if _has_net_of(config, name) else []}


def _has_net_of(config: RunConfig, name: str) -> bool:
    """Whether ``config`` trains the net of the packaged config ``name``, which its targets are about."""
    return name in config_names() and config.net_options == named_config(name).net_options


def with_data_at_hand(config: RunConfig) -> tuple[RunConfig, str]:
    """``config`` and a description of its data; with random bytes in place of data that are not installed.

    Raises:
        FileNotFoundError: missing data without a stand-in.
        ValueError: a bad setting.
    """
    try:
        stands_in = create_dataset(config.dataset, config.dataset_options).is_stand_in
    except FileNotFoundError:
        if "stand_in" not in image_sets.options(config.dataset):
            raise
        config = config.replace(dataset_options={**config.dataset_options, "stand_in": True})
        stands_in = True
    return config, f"synthetic, in the shape of {config.dataset}" if stands_in else config.dataset


def kinds_of_step(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Name -> changes of settings, for the kinds of steps that differ for ``config``; those of less memory first.

    At beta = 0 the tangent is the conditional velocity whatever its proxy is: split and plain then use the conditional
    proxy, as the targets do, and the step that evaluates the config's proxy is a kind of its own.
    """
    bare: dict[str, Any] = {}
    if config.beta == 0 and config.proxy != "conditional" and "tangent" in methods.options(config.method):
        bare = {"proxy": "conditional", "proxy_options": {}}
    kinds = {SPLIT: bare} if config.num_equal else {}
    if bare:
        kinds[f"{SPLIT}, {config.proxy} tangent"] = {}
    return {**kinds, PLAIN: {**bare, "p_equal": 0.0}}


def targets(name: str, facts: dict[str, Any]) -> list[Row]:
    """Targets for one H100, each with the measurement; ``reached`` is None on any other device."""
    judged = facts["device"] == H100

    def entry(what: str, target: float, measured: float | None, at_most: bool = False, **more: Any) -> Row:
        reached = None
        if judged and measured is not None:
            reached = measured <= target if at_most else measured >= target
        return {
            "what": what,
            "target": target,
            "measured": measured,
            "reached": reached,
            "device": H100,
            **more,
        }

    found = []
    for row in facts["rows"]:
        if (target := TARGETS.get(name, {}).get(row["step"])) is not None:
            what = f"examples/s, {row['step']} step, batch {row['batch_size']}, at least"
            found.append(entry(what, target.least, row.get("examples_per_second"), goal=target.goal))
        if name in TARGETS and row["step"] == SPLIT and (most := MOST_BYTES.get(row["batch_size"])):
            what = f"bytes, split step, batch {row['batch_size']}, at most"
            found.append(entry(what, most, row.get("peak_bytes"), at_most=True))
    if name in TARGETS:
        for size, ratio in facts["split_over_plain"].items():
            found.append(entry(f"split over plain, batch {size}, at least", LEAST_RATIO, ratio))
    return found


def _row(config: RunConfig, steps: int, repeats: int) -> Row:
    try:
        return _measured(config, ensemble_speed([config], steps, repeats))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"error": "out of memory"}


def _measured(config: RunConfig, speed: Speed) -> Row:
    """One row: speeds; operations of the step that was run, as `toylab inspect` counts them, also in forward passes;
    mfu, the share of the device's bfloat16 peak; peak_bytes since the process began; compile_seconds; loss."""
    counted, peak = cost(config), PEAKS.get(jax.local_devices()[0].device_kind)
    flops = counted["flops_step"]["split"]
    per_second = speed.steps_per_second * flops
    return {
        "num_equal": config.num_equal,
        "steps_per_second": speed.steps_per_second,
        "all_steps_per_second": list(speed.all_steps_per_second),
        "examples_per_second": speed.steps_per_second * config.batch_size,
        "flops_per_step": flops,
        "forward_passes_per_example": flops / config.batch_size / counted["flops_forward"],
        "flops_per_second": per_second,
        "mfu": per_second / peak if peak else None,
        "peak_bytes": speed.peak_bytes,
        "compile_seconds": speed.compile_seconds,
        "loss": speed.loss,
    }


def _ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Batch size -> ratio of examples per second of the split step to the plain one, where both ran."""
    speeds = {(row["batch_size"], row["step"]): row.get("examples_per_second") for row in rows}
    sizes = dict.fromkeys(row["batch_size"] for row in rows)
    pairs = {size: (speeds.get((size, SPLIT)), speeds.get((size, PLAIN))) for size in sizes}
    return {str(size): split / plain for size, (split, plain) in pairs.items() if split and plain}
