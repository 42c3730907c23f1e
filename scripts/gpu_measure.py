"""One measurement of toylab on the device at hand, written to a JSON file; `gpu_check.py` runs them in turn.

    python scripts/gpu_measure.py --out DIR [--small] env
    python scripts/gpu_measure.py --out DIR dit split 256 --unroll

Each is a process of its own, since a crash, the peak of memory and the flags of the compiler belong to a process.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from packaging.requirements import Requirement

from toylab.bench.speed import ensemble_speed
from toylab.bench.targets import H100, PEAKS
from toylab.bench.training import with_data_at_hand
from toylab.config import RunConfig, preset
from toylab.configs import named_config
from toylab.devices import parallel
from toylab.evaluation import evaluate_images
from toylab.experiments.sweep.grids import SETS_2D, paper_grid
from toylab.experiments.sweep.running import Scoring, _score_all
from toylab.plots.images import grid_png
from toylab.storage.atomic import atomic_write_bytes, atomic_write_json
from toylab.training.cost import cost
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.objective import draw_batch, loss_and_gradient
from toylab.training.run import Run
from toylab.training.state import TrainState, init_state
from toylab.training.trainer import HISTORY_COLUMNS

ENV, AGREEMENT, ENSEMBLE, DIT, FASHION = (
    "0_env.json", "1_agreement.json", "2_ensemble.json", "3_dit.json", "4_fashion.json"
)  # fmt: skip
SAMPLES = "samples.png"
REFERENCE = "reference.npz"
STEPS = (1, 10, 50)
"""After which parameters are compared; of nets for images only after the first two."""
PROBED = ("x0", "eps", "loss", "gradient")
GRADIENT_LIMITS = {"default": 5e-3, "highest": 5e-5}
"""Relative error of a gradient. TF32 rounds the inputs of products to 11 bits; float32 sums differ in their order."""
BFLOAT16_LIMIT = 3e-2
"""The same where the net computes in bfloat16, of 8 bits."""
DATA_LIMIT = 1e-5


class Check(NamedTuple):
    """What every measurement gets.

    Args:
        out: folder of the results.
        work: folder of what measurements pass to each other.
        small: tiny sizes, to try the measurement itself.
        end: time.time() at which all must be done.
        compile_only: fill the compilation cache and write nothing.
    """

    out: Path
    work: Path
    small: bool
    end: float
    compile_only: bool

    def seconds_left(self) -> float:
        """Until all must be done."""
        return self.end - time.time()

    def keep(self, name: str, content: dict) -> None:
        """Write ``content`` at once, whole or not at all; numbers that are not finite become null."""
        atomic_write_json(self.out / name, plain(content))

    def load(self, name: str) -> dict:
        """What earlier processes wrote, or a new file's beginning."""
        try:
            return json.loads((self.out / name).read_text())
        except (OSError, ValueError):
            return {"device": device_name()}


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic | jax.Array):
        value = np.asarray(value).item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def device_name() -> str:
    """Of the first device."""
    return jax.devices()[0].device_kind


def precision_of(name: str) -> AbstractContextManager:
    """A context in which float32 products have the precision ``name``; "default" leaves it to the device."""
    return jax.default_matmul_precision(None if name == "default" else name)


def median_seconds(fn: Callable, *args: Any, repeats: int = 5) -> float:
    """Of a call of ``fn`` after a first one that compiles it."""
    jax.block_until_ready(fn(*args))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2]


def ensemble_of(configs: Sequence[RunConfig], states: Sequence[TrainState] | None = None) -> Ensemble:
    """Lanes of ``configs``."""
    return Ensemble([build_experiment(config) for config in configs], states)


def empty_history() -> pd.DataFrame:
    """The history of a run of which nothing was recorded."""
    return pd.DataFrame(columns=list(HISTORY_COLUMNS)).set_index("step").astype(float)


# ---- the machine: what is installed, and the ceilings of the device --------------------------------------------------


def env(check: Check) -> None:
    """0_env.json: packages, device, rates of products, bandwidth, cost of a kernel in a loop, error of products."""
    facts: dict[str, Any] = {
        "commit": os.environ.get("GPU_CHECK_COMMIT"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "nvidia_smi": nvidia_smi(),
        "packages": packages(),
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
        "matmul_precision_asked": parallel.matmul_precision(),
    }
    check.keep(ENV, facts)
    size, loops, lanes = (256, 2, 4) if check.small else (8192, 8, 198)
    kinds: dict[str, tuple[Any, str | None]] = {
        "bf16": (jnp.bfloat16, None),
        "f32_default": (jnp.float32, None),
        "f32_highest": (jnp.float32, "highest"),
    }
    facts["tflops"] = {}
    for name, (dtype, precision) in kinds.items():
        rate, _ = product_rate(dtype, precision, (), (size, size, size), loops)
        facts["tflops"][f"{size}^3 {name}"] = rate
        check.keep(ENV, facts)
    for name, (dtype, precision) in kinds.items():
        rate, seconds = product_rate(dtype, precision, (lanes,), (448, 128, 128), 2 if check.small else 50)
        facts["tflops"][f"{lanes}x448x128x128 {name}"] = {"tflops": rate, "us": seconds * 1e6}
        check.keep(ENV, facts)
    words = 2**20 if check.small else 2**28
    seconds = median_seconds(jax.jit(lambda x: x + 1.0), jnp.ones(words, jnp.float32))
    facts["copy_gb_per_s"] = 8 * words / seconds / 1e9  # 4 bytes read and 4 written
    turns = 50 if check.small else 1000
    facts["loop_turn_us"] = {str(kernels): loop_turn_us(kernels, turns) for kernels in (1, 20, 80)}
    facts["product_error"] = product_errors()
    check.keep(ENV, facts)
    print(facts)


def nvidia_smi() -> str:
    """A line per card, or why there is none."""
    query = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stdout.strip()


def packages() -> dict[str, dict[str, Any]]:
    """Per requirement of toylab the range that is wanted, the version found, and whether it is in range."""
    rows = {}
    for text in requires("toylab") or []:
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            found = None
        in_range = found is not None and need.specifier.contains(found)
        rows[need.name] = {"wanted": str(need.specifier), "found": found, "in_range": in_range}
    return rows


def product_rate(
    dtype: Any, precision: str | None, batch: tuple[int, ...], shape: tuple[int, int, int], count: int
) -> tuple[float, float]:
    """Tflop/s and seconds of one product (m, k) @ (k, n), k = n, in a chain of ``count``; ``shape`` is m, k, n."""
    m, k, n = shape
    key = jax.random.key(0)
    a = jax.random.normal(key, (*batch, m, k), jnp.float32).astype(dtype)
    # Divided by sqrt(k), so that a chain of products keeps its scale.
    b = (jax.random.normal(key, (*batch, k, n), jnp.float32) / k**0.5).astype(dtype)

    @jax.jit
    def chain(a, b):
        return jax.lax.fori_loop(0, count, lambda _, carry: jnp.matmul(carry, b, precision=precision), a)

    seconds = median_seconds(chain, a, b) / count
    return 2 * math.prod(batch) * m * k * n / seconds / 1e12, seconds


def loop_turn_us(kernels: int, turns: int) -> float:
    """Microseconds of one turn of a loop of ``kernels`` products; small matrices, which cannot be fused."""
    weight = jnp.eye(64) * 0.5

    def body(_, x):
        for _ in range(kernels):
            x = jnp.tanh(x @ weight)
        return x

    loop = jax.jit(lambda turns, x: jax.lax.fori_loop(0, turns, body, x))
    return median_seconds(loop, np.int32(turns), jnp.ones((64, 64))) / turns * 1e6


def product_errors() -> dict[str, float | str]:
    """Relative error of a float32 product per precision, against float64 on the host; text where it is unsupported."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((512, 512)), rng.standard_normal((512, 512))
    errors: dict[str, float | str] = {}
    for name in ("default", "high", "highest", "TF32_TF32_F32_X3", "BF16_BF16_F32_X3"):
        precision = None if name == "default" else name
        try:
            found = jnp.matmul(jnp.float32(a), jnp.float32(b), precision=precision)
            errors[name] = relative_error(found, a @ b)
        except Exception as error:  # of several types; an algorithm that a device lacks is a finding
            errors[name] = f"unsupported: {str(error)[:80]}"
    return errors


def relative_error(found: Any, wanted: Any) -> float:
    """|found - wanted| / |wanted|, in float64."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    return float(np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-30))


# ---- a CPU and this device compute the same --------------------------------------------------------------------------


def agreement_cases(small: bool) -> dict[str, list[RunConfig]]:
    """Lanes that are compared, by name: nets for the plane, and a DiT for digits in both precisions."""
    base = RunConfig(**preset("paper_2d")).replace(seed=42, eval_samples=0)
    if small:
        base = base.replace(width=16, depth=2, embed_dim=8, batch_size=32)
    sets = SETS_2D[:2] if small else SETS_2D
    plane = [base.replace(dataset=name, beta=beta) for name in sets for beta in (0.0, 1.0)]
    digits = named_config("digits-dit-tiny").replace(eval_samples=0, net_options={"size": "tiny", "patch": 2})
    if small:  # one case of images, without rows of r = t: compiling is all that it costs
        digits = digits.replace(batch_size=32, net_options={"size": "nano", "patch": 2}, p_equal=0.0)
    rounded = digits.replace(net_options={**digits.net_options, "dtype": "bfloat16"})
    in_float32 = {} if small else {"digits_dit_float32": [digits, digits.replace(beta=1.0)]}
    return {"plane": plane, **in_float32, "digits_dit_bfloat16": [rounded]}


def compared_steps(name: str) -> tuple[int, ...]:
    """Steps after which the parameters of a case are compared."""
    return STEPS if name == "plane" else STEPS[:2]


def probe(experiment: Experiment, state: TrainState) -> tuple:
    """``PROBED`` of one step at a given state: batch, loss and gradient."""
    batch = draw_batch(experiment, jax.random.key(7), jnp.int32(3))
    return (batch.pairs.x0, batch.pairs.eps, *loss_and_gradient(experiment, state, batch))


def probed(ensemble: Ensemble) -> list[tuple]:
    """``PROBED`` of every lane; batched lanes are one program, whatever their data."""
    lanes = ensemble._lanes
    return lanes.get(lanes.map(probe, ensemble._experiments, ensemble._states))


def reference(check: Check) -> None:
    """The numbers that `agreement` compares with, of every lane alone on a CPU."""

    def one(case: tuple[str, int, RunConfig]) -> dict[str, np.ndarray]:
        name, lane, config = case
        ensemble, done = ensemble_of([config]), 0
        kept = {"0": ensemble.states()[0].params}
        for steps in compared_steps(name):
            ensemble.advance(steps - done)
            done = steps
            kept[str(steps)] = ensemble.states()[0].params
        kept |= dict(zip(PROBED, probed(ensemble)[0], strict=True))
        leaves = jax.tree.leaves(ensemble.states()[0])
        kept |= {f"state{index}": leaf for index, leaf in enumerate(leaves)}
        print(f"reference: {name}, {config.dataset}, beta {config.beta:g}")
        return {f"{name}/{lane}/{key}": np.asarray(value) for key, value in kept.items()}

    cases = [
        (name, lane, config)
        for name, configs in agreement_cases(check.small).items()
        for lane, config in enumerate(configs)
    ]
    with ThreadPoolExecutor(1 if check.small else 8) as pool:
        found = {key: value for kept in pool.map(one, cases) for key, value in kept.items()}
    unfinished = check.work / f"unfinished-{REFERENCE}"
    np.savez(unfinished, **found)
    unfinished.replace(check.work / REFERENCE)


def agreement(check: Check, wait: float) -> None:
    """1_agreement.json: relative errors of batch, loss and gradient at the state of the CPU, and of short trainings.

    Args:
        check: settings.
        wait: at most so many seconds for `reference`, which runs beside this.

    Raises:
        TimeoutError: it is not done by then.
    """
    path, begin = check.work / REFERENCE, time.monotonic()
    while not path.exists():
        if time.monotonic() - begin > wait:
            raise TimeoutError(f"no {path} after {wait:.0f} s: did `reference` fail, or is it slow?")
        time.sleep(0.2)
    facts: dict[str, Any] = {"device": device_name()}
    with np.load(path) as known:
        for name, configs in agreement_cases(check.small).items():
            bfloat16 = "bfloat16" in name
            for precision in ("default",) if bfloat16 else tuple(GRADIENT_LIMITS):
                limit = BFLOAT16_LIMIT if bfloat16 else GRADIENT_LIMITS[precision]
                with precision_of(precision):
                    row = compared(name, configs, known, limit)
                print(name, precision, {key: value for key, value in row.items() if key != "rows"})
                facts[f"{name}, {precision}"] = row
                check.keep(AGREEMENT, facts)


def compared(name: str, configs: list[RunConfig], known: Any, limit: float) -> dict[str, Any]:
    """One entry of 1_agreement.json: the lanes ``configs`` here, beside ``known`` arrays of `reference`."""
    structure = jax.tree.structure(jax.eval_shape(init_state, build_experiment(configs[0])))
    states = [
        jax.tree.unflatten(
            structure, [known[f"{name}/{lane}/state{leaf}"] for leaf in range(structure.num_leaves)]
        )
        for lane in range(len(configs))
    ]
    rows = []
    for lane, found in enumerate(probed(ensemble_of(configs, states))):
        errors = {
            key: relative_error(value, known[f"{name}/{lane}/{key}"])
            for key, value in zip(PROBED, found, strict=True)
        }
        rows.append({"dataset": configs[lane].dataset, "beta": configs[lane].beta, **errors})
    ensemble, done, drift = ensemble_of(configs), 0, {}
    for steps in compared_steps(name):
        ensemble.advance(steps - done)
        done = steps
        ways = []
        for lane, state in enumerate(ensemble.states()):
            start, wanted = known[f"{name}/{lane}/0"], known[f"{name}/{lane}/{steps}"]
            ways.append(relative_error(np.asarray(state.params) - start, wanted - start))
        drift[steps] = max(ways)
    worst = max(row["gradient"] for row in rows)
    return {
        "worst_gradient_error": worst,
        "limit": limit,
        "ok": worst < limit,
        "same_data": max(max(row["x0"], row["eps"]) for row in rows) < DATA_LIMIT,
        "relative_error_of_the_way_travelled_after_steps": drift,
        "rows": rows,
    }


# ---- the ensemble of the plane ---------------------------------------------------------------------------------------


def ensemble(check: Check, name: str, lanes: int, precision: str, dtype: str, extras: bool) -> None:
    """2_ensemble.json, row ``name``: speed of ``lanes`` runs of the paper's grid as one ensemble.

    Args:
        check: settings.
        name: of the row.
        lanes: runs, spread evenly over the 198 of the grid.
        precision: of float32 products.
        dtype: of the nets.
        extras: also time what a row of the history, a saved run and a score cost.
    """
    configs = grid_configs(check.small, lanes)
    if dtype != "float32":
        configs = [config.replace(net_options={"dtype": dtype}) for config in configs]
    with precision_of(precision):
        if check.compile_only:
            ensemble_of(configs).advance(2)
            return
        speed = ensemble_speed(configs, 20 if check.small else 400, 3)
        row: dict[str, Any] = {
            **speed._asdict(),
            "lanes": len(configs),
            "precision": precision,
            "dtype": dtype,
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "run_steps_per_second": speed.steps_per_second * len(configs),
            "minutes_for_200k_steps": 200_000 / speed.steps_per_second / 60,
        }
        keep_row(check, ENSEMBLE, name, row)
        if extras and check.seconds_left() > 60:
            row |= measurement_seconds(check, configs)
            keep_row(check, ENSEMBLE, name, row)


def keep_row(check: Check, file: str, name: str, row: dict[str, Any]) -> None:
    """Add or replace a row of a file."""
    facts = check.load(file)
    facts.setdefault("rows", {})[name] = row
    print(name, row)
    check.keep(file, facts)


def grid_configs(small: bool, lanes: int) -> list[RunConfig]:
    """``lanes`` runs of the paper's grid, evenly spread."""
    configs = [cell.config.replace(eval_samples=0) for cell in paper_grid().cells]
    if small:
        configs = [config.replace(width=16, depth=2, embed_dim=8, batch_size=32) for config in configs]
    chosen = np.linspace(0, len(configs) - 1, min(lanes, len(configs))).astype(int)
    return [configs[index] for index in chosen]


def measurement_seconds(check: Check, configs: list[RunConfig]) -> dict[str, Any]:
    """Seconds of all that a study does beside its steps: samples, gradient variances, saving, scoring."""
    small = check.small
    lanes = ensemble_of(configs)
    lanes.advance(20)
    calls: dict[str, Callable] = {
        "sample_2048": lambda: lanes.sample(64 if small else 2048),
        "gradient_variance_8": lambda: lanes.gradient_variance(8),
        "states_to_host": lanes.states,
    }
    found: dict[str, Any] = {}
    for name, call in calls.items():
        found[name] = {"first_s": seconds_of(call), "again_s": seconds_of(call)}
    count = min(2 if small else 16, len(configs))
    runs = [
        Run(config, state, empty_history())
        for config, state in zip(configs[:count], lanes.states()[:count], strict=True)
    ]
    with tempfile.TemporaryDirectory() as name:
        saving = seconds_of(lambda: [run.save(Path(name) / str(index)) for index, run in enumerate(runs)])
        scoring = Scoring(("sliced_w1",), 512 if small else 32_768, 1)
        found["save_s_per_run"] = saving / count
        found["score_s_per_run"] = seconds_of(lambda: _score_all(runs, scoring)) / count
    return found


def seconds_of(call: Callable[[], Any]) -> float:
    """Of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


# ---- DiT-B/4 ---------------------------------------------------------------------------------------------------------


def dit(check: Check, kind: str, batch: int, unroll: bool) -> None:
    """3_dit.json, a row: speed, operations and memory of a step of imagenet-latent-dit-B4.

    Args:
        check: settings.
        kind: split, as configured; plain, every row through the Jacobian-vector product.
        batch: rows of a batch.
        unroll: no scan over blocks.
    """
    options = {"unroll": True} if unroll else {}
    config = named_config("imagenet-latent-dit-B4")
    config = config.replace(
        batch_size=8 if check.small else batch,
        net_options={**config.net_options, **({"size": "nano"} if check.small else {}), **options},
        p_equal=0.0 if kind == "plain" else config.p_equal,
    )
    if check.compile_only:
        ensemble_of([config]).advance(2)
        return
    name = " ".join([kind, str(batch), *options])
    try:
        speed = ensemble_speed([config], 3 if check.small else max(5, 15 * 256 // batch), 3)
    except jax.errors.JaxRuntimeError as error:  # memory is short, most likely; a row says so
        keep_row(check, DIT, name, {"error": str(error)[:300]})
        return
    row = {
        **speed._asdict(),
        "batch": config.batch_size,
        "images_per_second": speed.steps_per_second * config.batch_size,
        "ms_per_step": 1e3 / speed.steps_per_second,
    }
    keep_row(check, DIT, name, row)
    # Counting takes seconds, of a scan fewer than of unrolled blocks, whose operations are as many.
    counted = cost(config.replace(net_options={**config.net_options, "unroll": False}))
    flops = counted["flops_step"]["split"]  # of the step that was run
    rate = speed.steps_per_second * flops
    peak = PEAKS.get(device_name(), PEAKS[H100])
    row |= {"flops_per_step": flops, "tflops": rate / 1e12, "mfu": rate / peak}
    keep_row(check, DIT, name, row)


# ---- a training of DiT-S/4 on Fashion-MNIST, beta 1 and beta 0, equally many steps -----------------------------------


def fashion(check: Check, seconds: float) -> None:
    """4_fashion.json and samples.png: one run of ``seconds`` at beta = 1, one of as many steps at beta = 0."""
    config, data = with_data_at_hand(named_config("fashion32-dit-S4").replace(eval_samples=0))
    if check.small:
        net = {**config.net_options, "size": "nano"}
        config = config.replace(batch_size=16, net_options=net, p_equal=0.0, guidance=1.0, guidance_mix=0.0)
    else:
        config = config.replace(net_options={**config.net_options, "unroll": True})
    if check.compile_only:
        ensemble_of([config]).advance(2)
        return
    facts: dict[str, Any] = {"device": device_name(), "data": data, "runs": {}}
    steps, pictures = 0, []
    for beta in (1.0, 0.0):
        chosen = config.replace(beta=beta)
        row, state = trained(check, chosen, seconds, steps)
        steps = row["steps"]
        facts["runs"][f"beta {beta:g}"] = row
        check.keep(FASHION, facts)
        run = Run(chosen, state, empty_history())
        images = np.nan_to_num(run.sample(20, seed=0)).reshape(-1, *(run.dataset.shape.image or ()))
        pictures.append(images)
        atomic_write_bytes(check.out / SAMPLES, grid_png(np.concatenate(pictures), 20))
        if data == "fashion" and check.seconds_left() > 20:
            begin = time.perf_counter()
            scores = evaluate_images(run, "ffd-v1", n=64 if check.small else 5000)
            row["scores"] = {name: score.to_json() for name, score in scores.items()}
            row["score_seconds"] = time.perf_counter() - begin
        print({key: value for key, value in row.items() if key != "loss"})
        check.keep(FASHION, facts)


def trained(check: Check, config: RunConfig, seconds: float, steps: int) -> tuple[dict[str, Any], TrainState]:
    """A row of 4_fashion.json and the state of a run of ``steps`` steps, or, where they are 0, of ``seconds``."""
    stretch = 2 if check.small else 200
    begin = time.perf_counter()
    lanes = ensemble_of([config])
    lanes.advance(2)
    compile_seconds = time.perf_counter() - begin
    lanes.take_window()
    curve: list[list[float]] = []
    done, begin = 0, time.perf_counter()
    enough = False
    while not enough and (done == 0 or check.seconds_left() > 25):
        lanes.advance(stretch)
        done += stretch
        curve.append([done, float(lanes.take_window()[0].loss) / stretch])
        enough = done >= steps if steps else time.perf_counter() - begin >= seconds
    took = time.perf_counter() - begin
    row = {
        "beta": config.beta,
        "steps": done,
        "seconds": took,
        "compile_s": compile_seconds,
        "diverged_at": lanes.diverged_at()[0],
        "images_per_second": done * config.batch_size / took,
        "loss": curve,
    }
    return row, lanes.states()[0]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--work", type=Path, help="folder of what measurements pass to each other; --out by default"
    )
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes, with the batched lanes of an accelerator"
    )
    parser.add_argument("--until", type=float, default=math.inf, help="Unix time at which all must be done")
    parser.add_argument("--compile-only", action="store_true", help="fill the compilation cache")
    kinds = parser.add_subparsers(dest="what", required=True)
    kinds.add_parser("env", help="packages and ceilings of the device")
    kinds.add_parser("reference", help="what agreement compares with; run it with JAX_PLATFORMS=cpu")
    kind = kinds.add_parser("agreement", help="batch, loss, gradient, short trainings: beside those of a CPU")
    kind.add_argument("--wait", type=float, default=0.0, help="seconds for reference to be done")
    kind = kinds.add_parser("ensemble", help="speed of runs of the paper's grid")
    kind.add_argument("name", help="of the row")
    kind.add_argument("lanes", type=int)
    kind.add_argument("--precision", default="default", help="of float32 products")
    kind.add_argument("--dtype", default="float32", help="of the nets")
    kind.add_argument("--extras", action="store_true", help="time measurements, saving and scoring too")
    kind = kinds.add_parser("dit", help="speed of DiT-B/4")
    kind.add_argument("kind", choices=("split", "plain"))
    kind.add_argument("batch", type=int)
    kind.add_argument("--unroll", action="store_true", help="no scan over blocks")
    kind = kinds.add_parser("fashion", help="train DiT-S/4 on Fashion-MNIST at beta 1 and 0")
    kind.add_argument("seconds", type=float, help="of the first training; the second takes as many steps")
    return parser.parse_args()


def main() -> None:
    """Make the measurement that was asked for."""
    chosen = parsed()
    if chosen.small and chosen.what != "reference":
        # The lanes of an accelerator, on a CPU.
        parallel.batches_lanes = lambda: True
        if not isinstance(parallel.lanes(1), parallel.BatchedLanes):
            raise RuntimeError(
                "--small could not switch to batched lanes: parallel.lanes chooses in another way now"
            )
    parallel.enable_compilation_cache()
    chosen.out.mkdir(parents=True, exist_ok=True)
    check = Check(chosen.out, chosen.work or chosen.out, chosen.small, chosen.until, chosen.compile_only)
    if chosen.what == "env":
        env(check)
    elif chosen.what == "reference":
        reference(check)
    elif chosen.what == "agreement":
        agreement(check, chosen.wait)
    elif chosen.what == "ensemble":
        ensemble(check, chosen.name, chosen.lanes, chosen.precision, chosen.dtype, chosen.extras)
    elif chosen.what == "dit":
        dit(check, chosen.kind, chosen.batch, chosen.unroll)
    else:
        fashion(check, chosen.seconds)


if __name__ == "__main__":
    main()
