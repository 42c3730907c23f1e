"""The examples: both run as scripts, and the loss of the 100 lines is the library's MeanFlow with the EMA proxy."""

import ast
import runpy
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from toylab.bench.plain import load_loop, loop_path
from toylab.methods import AbstractTwoStageMethod, Context, Example, methods
from toylab.proxies import proxies
from toylab.types import VelocityNet

ROOT = Path(__file__).parents[1]
PNG = b"\x89PNG\r\n\x1a\n"
SHORT = ROOT / "examples" / "meanflow_in_100_lines.py"
OWN = ROOT / "examples" / "own_training_loop.py"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example as a script, in a few steps: the lines that it printed. It has to save a picture."""

    def run(script: Path, *flags: str) -> list[str]:
        picture = tmp_path / "picture.png"
        monkeypatch.setattr(sys, "argv", [str(script), *flags, "--steps", "20", "--out", str(picture)])
        runpy.run_path(str(script), run_name="__main__")
        assert picture.read_bytes().startswith(PNG)
        return capsys.readouterr().out.splitlines()

    yield run
    plt.close("all")


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_the_whole_method_fits_in_100_lines_without_toylab():
    assert len(SHORT.read_text(encoding="utf-8").splitlines()) <= 100
    assert imports(SHORT) == {"argparse", "jax", "matplotlib", "numpy", "optax"}


def test_the_benchmark_times_the_example():
    assert loop_path() == SHORT


@pytest.mark.slow
def test_the_short_example_trains_and_saves_a_picture(run):
    lines = run(SHORT, "--batch-size", "32", "--beta", "1", "--seed", "3")
    losses = [float(line.rsplit(" ", 1)[1]) for line in lines]
    assert len(losses) == 10
    assert np.all(np.isfinite(losses))


@pytest.mark.slow
def test_the_foreign_loop_trains_scores_and_saves_a_picture(run):
    *losses, score = run(OWN, "--method", "split_meanflow")
    assert len(losses) == 5
    value, floor = (float(score.split(name)[1].split()[0].rstrip(",")) for name in ("W1", "floor"))
    assert 0 < floor < value


def test_the_foreign_loop_offers_every_method_that_needs_nothing_more():
    tree = ast.parse(OWN.read_text(encoding="utf-8"))
    (offered,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METHODS"
    )

    def needs_nothing(name: str) -> bool:
        method = methods.create(name)
        declared = (method.num_reference, method.net_options, method.teacher_decay)
        plain = not any(declared) and not isinstance(method, AbstractTwoStageMethod)
        return plain and method.uses_pairs and method.sampler == "average_velocity"

    packaged = [
        name for name in methods.names() if type(methods.create(name)).__module__.startswith("toylab.")
    ]
    assert list(offered) == sorted(filter(needs_nothing, packaged))


def gradient_of(losses, params) -> np.ndarray:
    """Gradient of the mean loss of a batch, flat."""
    gradients = jax.grad(lambda params: jnp.mean(losses(params)))(params)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)])


def net_of(loop: ModuleType, params) -> VelocityNet:
    """The example's network with these parameters, as the library calls it."""

    def net(x, r, t):
        return loop.net(params, x, r, t)

    return net


def gradients(loop: ModuleType, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the example's loss and of the library's method, on the same batch and with the same network."""
    nets = [loop.init_params(jax.random.key(seed)) for seed in (1, 2)]
    # An output layer of full size, so that du/dt is as large as u.
    params, params_ema = ([*net[:-1], (100 * net[-1][0], net[-1][1])] for net in nets)
    x0, eps, r, t = loop.draw_batch(jax.random.key(0), 64)
    assert 4 < np.sum(r == t) < 32
    method, rows = (
        methods.create("meanflow", {"tangent": proxies.create("ema")}),
        Example(x0, eps, r, t, x0[:, :0]),
    )

    def library_losses(params):
        context = Context(net_of(loop, params), net_of(loop, params_ema))
        pairs = jax.vmap(lambda row: method.pair_loss(row, context, jnp.asarray(beta)))(rows)
        return jnp.where(r == t, jax.vmap(lambda row: method.equal_loss(row, context))(rows), pairs)

    def own_losses(params):
        loss = jax.vmap(loop.example_loss, in_axes=(None, None, 0, 0, 0, 0, None))
        return loss(params, params_ema, x0, eps, r, t, beta)

    return gradient_of(own_losses, params), gradient_of(library_losses, params)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative distance of two gradients."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_short_loss_has_the_gradient_of_the_library(x64, beta):
    assert distance(*gradients(load_loop(), beta)) < 1e-12


MUTANTS = {
    "sign of the derivative": ("v_cond - (t - r) * du_dt", "v_cond + (t - r) * du_dt"),
    "no derivative": ("v_cond - (t - r) * du_dt", "v_cond"),
    "no stop-gradient": ("jax.lax.stop_gradient(v_cond", "(v_cond"),
    "proxy in the target": ("stop_gradient(v_cond -", "stop_gradient(tangent -"),
    "no proxy": ("beta * v_hat", "beta * v_cond"),
    "proxy of the trained network": ("net(params_ema, x_t, t, t)", "net(params, x_t, t, t)"),
    "derivative in r": ("(tangent, 0.0, 1.0)", "(tangent, 1.0, 0.0)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_short_loss_has_another_gradient(x64, name):
    source, (old, new) = SHORT.read_text(encoding="utf-8"), MUTANTS[name]
    assert source.count(old) == 1
    mutant = ModuleType("mutant")
    exec(compile(source.replace(old, new), name, "exec"), mutant.__dict__)
    assert distance(*gradients(mutant, 0.5)) > 1e-4  # eight orders of magnitude above the tolerance
