"""Check toylab on a machine with one GPU and no network: one command, at most eight minutes, seven small files.

    python scripts/gpu_check.py prepare                  # with a network: fills .gpu, which git ignores
    OUT=DIR bash .gpu/check.sh                           # on the GPU machine, in the same checkout
    python scripts/gpu_check.py run --out DIR            # the same, with the toylab that is installed
    python scripts/gpu_check.py run --out DIR --small    # tiny sizes on a CPU, to try the check itself

`run` writes 0_env.json, 1_agreement.json, 2_ensemble.json, 3_dit.json, 4_fashion.json, samples.png and log.txt, each as
soon as it is measured, so a call that is cut off keeps what it had. Every measurement is a process of its own
(`gpu_measure.py`) with a limit in seconds: one that fails does not stop the others. Standard library alone.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
MEASURE = HERE / "gpu_measure.py"
FOLDER = ".gpu"
CHECK_SH = """\
exec "${PY:-python3}" "$(dirname "$0")/gpu_check.py" run --out "${OUT:-/tmp/gpu_check_out}" "$@"
"""
WHEELS = ("tyro==1.0.17", "docstring-parser==0.18.0", "typeguard==4.6.1")
"""Packages that toylab imports and that a machine with jax[cuda13], equinox, optax, orbax and pandas may lack."""
PYTHON_VERSION = "3.12"
"""Of the GPU machine."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
IMAGES = "dataset-fashion-mnist"
IMAGES_PATH = "usr/share/datasets/fashion-mnist"
LIMIT = 470
"""Seconds of a whole check: less than eight minutes."""
LEAST = 12
"""Seconds below which a measurement is not begun."""
RESERVE = 7
"""Seconds kept for ending a process that hangs, and for the summary."""
LOG_BYTES = 20_000
"""Kept in log.txt of what each process prints: its end."""


class Step(NamedTuple):
    """One measurement.

    Args:
        seconds: at most.
        words: arguments of `gpu_measure.py`.
        flags: put before XLA_FLAGS.
    """

    seconds: int
    words: Sequence[str]
    flags: str = ""


ENV = Step(45, ["env"])
REFERENCE = Step(150, ["reference"])
# Compiled side by side, since 16 cores compile what one card will time.
WARM_UPS = (
    ["ensemble", "all", "198"],
    ["ensemble", "highest", "198", "--precision", "highest"],
    ["dit", "split", "256", "--unroll"],
    ["dit", "plain", "256", "--unroll"],
    ["dit", "split", "256"],
    ["fashion", "1"],
)
WARM_UP_SECONDS = 170
QUICKLY_COMPILED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""For tiny sizes on a CPU: compiling is nearly all they cost."""
WHILE_IN_GRAPH = "--xla_gpu_enable_command_buffer=+WHILE"
"""Makes the loop over steps a part of the CUDA graph; by default the host drives it."""
# By value: what is left of the time goes to the later ones, each of which compiles anew from `one` on.
STEPS = (
    Step(60, ["ensemble", "all", "198", "--extras"]),
    Step(40, ["ensemble", "highest", "198", "--precision", "highest"]),
    Step(45, ["dit", "split", "256", "--unroll"]),
    Step(45, ["dit", "plain", "256", "--unroll"]),
    Step(45, ["dit", "split", "256"]),
    Step(170, ["fashion", "50"]),
    Step(60, ["ensemble", "one", "1"]),
    Step(60, ["ensemble", "while_in_graph", "198"], WHILE_IN_GRAPH),
    Step(60, ["ensemble", "bfloat16", "198", "--dtype", "bfloat16"]),
    Step(90, ["dit", "split", "512", "--unroll"]),
    Step(90, ["dit", "plain", "512", "--unroll"]),
)
# Each kind of row once: the others would compile the same again.
SMALL_STEPS = (
    Step(60, ["ensemble", "all", "4", "--extras"]),
    Step(
        60,
        ["ensemble", "while_in_graph", "2", "--precision", "highest", "--dtype", "bfloat16"],
        WHILE_IN_GRAPH,
    ),
    Step(45, ["dit", "split", "256"]),
    Step(45, ["dit", "plain", "256", "--unroll"]),
    Step(170, ["fashion", "1"]),
)


def main() -> int:
    """Run the chosen command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help=f"fill {FOLDER} with what a machine without network lacks")
    command = commands.add_parser("run", help="measure")
    command.add_argument("--out", type=Path, required=True, help="folder of the seven files")
    command.add_argument("--small", action="store_true", help="tiny sizes, for a CPU: tries the check itself")
    command.add_argument(
        "--limit", type=int, default=LIMIT, help="seconds of all together (default %(default)s)"
    )
    command.add_argument(
        "--scale", type=int, default=1, help="factor of each measurement's limit, for slow machines"
    )
    chosen = parser.parse_args()
    if chosen.command == "prepare":
        prepare(HERE.parent)
        return 0
    # SIGTERM, for example of `timeout`, as Ctrl-C: the processes that run are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as work:
        Runner(chosen.out, Path(work), chosen.small, chosen.limit, chosen.scale).run()
    return 0


# ---- with a network --------------------------------------------------------------------------------------------------


def prepare(root: Path) -> None:
    """Fill ``root``/.gpu: wheels of toylab and of ``WHEELS``, Fashion-MNIST, and this script.

    Raises:
        subprocess.CalledProcessError: no network, or a package that cannot be had.
    """
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in (Path(__file__), MEASURE):
        shutil.copy(path, folder)
    (folder / "check.sh").write_text(CHECK_SH)
    (folder / "commit").write_text(commit_of(root) + "\n")
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, root], check=True)
    target = ["--only-binary=:all:", "--python-version", PYTHON_VERSION, "--implementation", "cp"]
    for platform in PLATFORMS:
        target += ["--platform", platform]
    subprocess.run([*pip, "download", "-q", "--no-deps", *target, "-d", folder, *WHEELS], check=True)
    download = ["apt-get", "download", "-q", IMAGES]
    if subprocess.run(download, cwd=folder, check=False).returncode:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(download, cwd=folder, check=True)
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {total / 1e6:.0f} MB; next, on the GPU machine: OUT=DIR bash {FOLDER}/check.sh")


def commit_of(root: Path) -> str:
    """The commit of a checkout; says so where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain")
        return git("rev-parse", "HEAD") + (", with local changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# ---- on the GPU machine ----------------------------------------------------------------------------------------------


class Process(NamedTuple):
    """A measurement that runs, the file of what it prints, and when it must be over by `time.monotonic`."""

    name: str
    popen: subprocess.Popen
    printed: Path
    end: float


class Runner:
    """Runs the measurements in turn, within a limit.

    Args:
        out: folder of the results.
        work: an empty folder.
        small: tiny sizes.
        limit: seconds of all together.
        scale: factor of each measurement's own limit.
    """

    def __init__(self, out: Path, work: Path, small: bool, limit: int, scale: int):
        self._out, self._work, self._small, self._scale = out.resolve(), work, small, scale
        self._begin = time.monotonic()
        self._end = self._begin + limit - RESERVE
        self._running: list[Process] = []
        self._out.mkdir(parents=True, exist_ok=True)
        self._log = self._out / "log.txt"
        self._log.write_text("")
        self._environment = {
            "TOYLAB_CACHE_DIR": str(Path(tempfile.gettempdir()) / "gpu-check-cache"),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "GPU_CHECK_COMMIT": self._commit(),
        }

    def run(self) -> None:
        """Measure everything; prints what happens and a summary."""
        try:
            self._install()
            reference = self._start(REFERENCE, JAX_PLATFORMS="cpu")
            self._measure(ENV)
            self._compile_and_compare()
            if reference is not None:
                # The comparison waited for it as long as is useful.
                self._finish(reference._replace(end=time.monotonic()))
            for step in SMALL_STEPS if self._small else STEPS:
                self._measure(step)
            self._say(summary(self._out))
        finally:
            for process in list(self._running):
                self._finish(process._replace(end=time.monotonic()))
            self._say("done")

    def _compile_and_compare(self) -> None:
        """Fill the compilation cache, and compare with the CPU beside it: a comparison needs no quiet machine."""
        started = []
        # A small check times nothing of interest, and two cores have no room for all of them.
        for words in () if self._small else WARM_UPS:
            # Several processes share one card: none may take all of its memory.
            step = Step(WARM_UP_SECONDS, ["--compile-only", *words])
            started.append(self._start(step, XLA_PYTHON_CLIENT_PREALLOCATE="false"))
        comparison = Step(WARM_UP_SECONDS, ["agreement", "--wait", str(100 * self._scale)])
        started.append(self._start(comparison, XLA_PYTHON_CLIENT_PREALLOCATE="false"))
        for process in started:
            if process is not None:
                self._finish(process)

    def _measure(self, step: Step) -> None:
        """Run one measurement alone."""
        if (process := self._start(step)) is not None:
            self._finish(process)

    def _start(self, step: Step, **environment: str) -> Process | None:
        """Begin a measurement, if there is time for it."""
        name = " ".join(step.words)
        now = time.monotonic()
        end = min(now + step.seconds * self._scale, self._end)
        if end - now < LEAST:
            self._say(f"skipped: {name} (no time left)")
            return None
        # The measurement stops by itself a little earlier, where it can.
        until = time.time() + self._end - now
        command = [sys.executable, str(MEASURE), "--out", str(self._out), "--work", str(self._work)]
        command += ["--until", f"{until:.0f}", *(["--small"] if self._small else []), *step.words]
        flags = [step.flags, QUICKLY_COMPILED if self._small else "", os.environ.get("XLA_FLAGS", "")]
        environment["XLA_FLAGS"] = " ".join(flag for flag in flags if flag)
        printed = self._work / f"printed-{len(list(self._work.glob('printed-*')))}"
        self._say(f"begin {name} (at most {end - now:.0f} s)")
        with printed.open("wb") as file:
            # A session of its own, so that all of its processes can be ended together.
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment | environment,
                start_new_session=True,
            )
        process = Process(name, popen, printed, end)
        self._running.append(process)
        return process

    def _finish(self, process: Process) -> None:
        """Wait for a measurement, end it at its limit, and move what it printed to the log."""
        popen = process.popen
        try:
            popen.wait(max(0.0, process.end - time.monotonic()))
            how = f"exit code {popen.returncode}"
        except subprocess.TimeoutExpired:
            how = "ended at its limit"
            for name, patience in ((signal.SIGTERM, 4), (signal.SIGKILL, 2)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, name)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    popen.wait(patience)
                    break
        self._running = [each for each in self._running if each.popen is not popen]
        with self._log.open("ab") as log:
            log.write(process.printed.read_bytes()[-LOG_BYTES:])
        self._say(f"end {process.name}: {how}")

    def _install(self) -> None:
        """Unpack wheels and images beside this script, if there are any, into the work folder."""
        wheels = sorted(HERE.glob("*.whl"))
        if wheels:
            site = self._work / "site"
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
            self._call([*pip, "--no-cache-dir", "--target", str(site), *map(str, wheels)])
            old = self._environment.get("PYTHONPATH")
            self._environment["PYTHONPATH"] = f"{site}{os.pathsep}{old}" if old else str(site)
        for package in HERE.glob(f"{IMAGES}*.deb"):
            self._call(["dpkg-deb", "-x", str(package), str(self._work / "images")])
            self._environment["TOYLAB_FASHION"] = str(self._work / "images" / IMAGES_PATH)

    def _call(self, command: list[str]) -> None:
        """Run a command; if it fails the log says why, and the measurements go on with what is there."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                self._say(f"{command[0]} failed with exit code {done.returncode}: {done.stderr[-1000:]}")
        except (OSError, subprocess.SubprocessError) as error:
            self._say(f"{command[0]} failed: {error}")

    def _commit(self) -> str:
        kept = HERE / "commit"
        return kept.read_text().strip() if kept.is_file() else commit_of(HERE.parent)

    def _say(self, text: str) -> None:
        line = f"[{time.monotonic() - self._begin:.0f} s] {text}"
        print(line, flush=True)
        with self._log.open("a") as log:
            log.write(line + "\n")


# ---- the summary -----------------------------------------------------------------------------------------------------


def summary(out: Path) -> str:
    """The five JSON files of a check in a line per row."""

    def load(name: str) -> dict[str, Any]:
        try:
            return json.loads((out / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}

    machine, agreement, ensemble, dit, fashion = (
        load(name) for name in ("0_env", "1_agreement", "2_ensemble", "3_dit", "4_fashion")
    )
    outside = {name: row["found"] for name, row in machine.get("packages", {}).items() if not row["in_range"]}
    lines = ["summary", f"{machine.get('nvidia_smi')} {machine.get('devices')}", f"not in range: {outside}"]
    for name in ("tflops", "copy_gb_per_s", "loop_turn_us", "product_error"):
        lines.append(f"{name} {json.dumps(machine.get(name))}")
    for name, row in agreement.items():
        if isinstance(row, dict):
            lines.append(
                f"agree  {name:34s} gradient {row['worst_gradient_error']:.1e} ok={row['ok']} "
                f"data={row['same_data']} drift {row['relative_error_of_the_way_travelled_after_steps']}"
            )
    extras = ("sample_2048", "gradient_variance_8", "save_s_per_run", "score_s_per_run")
    for name, row in ensemble.get("rows", {}).items():
        lines.append(
            f"lanes  {name:18s} {row['lanes']:4d} lanes {row['steps_per_second']:8.1f} steps/s "
            f"{row['minutes_for_200k_steps']:6.1f} min {of_process(row)} "
            f"{ {key: row[key] for key in extras if key in row} }"
        )
    for name, row in dit.get("rows", {}).items():
        lines.append(
            f"DiT-B4 {name:24s} "
            + (
                row.get("error")
                or f"{row['images_per_second']:8.0f} img/s {row['ms_per_step']:7.1f} ms "
                f"{row.get('tflops', 0):5.0f} Tflop/s MFU {row.get('mfu', 0):.1%} {of_process(row)}"
            )
        )
    for name, row in fashion.get("runs", {}).items():
        scores = {key: score["value"] for key, score in row.get("scores", {}).items()}
        lines.append(
            f"S/4    {name}: {row['steps']} steps, {row['images_per_second']:.0f} img/s, "
            f"loss {row['loss'][-1][1]} {scores}"
        )
    return "\n".join(lines)


def of_process(row: dict[str, Any]) -> str:
    """Compilation and memory of a row."""
    return f"compile {row['compile_seconds']:.0f} s peak {(row['peak_bytes'] or 0) / 1e9:.2f} GB"


if __name__ == "__main__":
    sys.exit(main())
