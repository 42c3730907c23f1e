"""The terms that the app, the code and the papers share (DESIGN, Conventions), each with its formula."""

from typing import NamedTuple


class Term(NamedTuple):
    """A name, what it is in mathematics, and in words."""

    names: tuple[str, ...]
    """As in the code."""
    formula: str
    """LaTeX; a vertical bar would end the cell of a table: \\mid, \\lVert."""
    meaning: str


TERMS = (
    Term(("x0", "eps"), r"x_0 \sim \text{data},\; \epsilon \sim N(0, I)", "a data point and Gaussian noise"),
    Term(
        ("t", "r", "gap"), r"0 \le r \le t \le 1", "later and earlier time, and t − r; 0 is data, 1 is noise"
    ),
    Term(("x_t",), r"x_t = (1-t)\, x_0 + t\, \epsilon", "the point on the straight path between them"),
    Term(
        ("v_cond",),
        r"v_{\rm cond} = \epsilon - x_0",
        "conditional velocity: of one pair, exact on average, noisy",
    ),
    Term(
        ("v",),
        r"v(x, t) = \mathrm{E}[v_{\rm cond} \mid x_t = x]",
        "marginal velocity: without noise; known exactly here",
    ),
    Term(
        ("Sigma",),
        r"\Sigma(x, t) = \mathrm{Cov}[v_{\rm cond} \mid x_t = x]",
        "the noise of the conditional velocity",
    ),
    Term(("v_hat",), r"\hat v \approx v", "proxy: an estimate of the marginal velocity"),
    Term(
        ("u",),
        r"u(x_t, r, t) = \tfrac{1}{t-r} \int_r^t v(x_s, s)\, ds",
        "average velocity: what the net learns",
    ),
    Term(("one-step sample",), r"x_0 = \epsilon - u(\epsilon, 0, 1)", "one call of the net per sample"),
    Term(
        ("tangent", "beta"),
        r"(1-\beta)\, v_{\rm cond} + \beta\, \hat v",
        "the direction of the derivative, and how much of it is the proxy",
    ),
    Term(
        ("du_dt",),
        r"\tfrac{d}{dt} u = \partial_x u \cdot \text{tangent} + \partial_t u",
        "total derivative along the tangent, one Jacobian-vector product",
    ),
    Term(
        ("loss",),
        r"\lVert u - \mathrm{sg}[v_{\rm cond} - (t-r)\, \tfrac{d}{dt} u] \rVert^2",
        "of MeanFlow; sg lets no gradient pass",
    ),
    Term(
        ("jacobi_factor",),
        r"J = (t-r)\, \partial_x u - I",
        "what multiplies the noise: at β = 0 the loss holds Tr(J Σ Jᵀ)",
    ),
    Term(
        ("flow_map_jacobian",),
        r"\rho = \partial x_r / \partial x_t = -J \text{ at the solution}",
        "how the flow stretches space; large between far modes",
    ),
    Term(("p_equal",), r"P(r = t)", "share of the batch that is plain flow matching"),
    Term(("max_gap",), r"t - r \le \text{max\_gap}", "the largest gap trained on; one-step sampling uses 1"),
    Term(
        ("params", "params_ema"),
        r"\theta,\; \theta_{\rm EMA}",
        "the net's parameters and their moving average, which samples and serves as proxy",
    ),
    Term(("opt_state", "step"), r"k = 1, \dots, K", "the optimiser's memory, and the number of updates"),
    Term(
        ("key", "key_eps"),
        r"\text{seed} \to \text{keys}",
        "random keys, each used once: one seed gives both lanes the same noise",
    ),
    Term(
        ("grad_variance",),
        r"\mathrm{Tr}\, \mathrm{Cov}[\nabla_\theta\, \text{loss of a batch}]",
        "noise of the gradient, from eight batches",
    ),
    Term(
        ("sliced W1",),
        r"\mathrm{E}_\omega\, W_1(\omega \cdot \text{samples},\, \omega \cdot \text{data})",
        "distance between samples and data, averaged over directions",
    ),
    Term(
        ("floor",),
        r"W_1(\text{data},\, \text{data}')",
        "what two fresh data samples of that size score: no model can be told from data below it",
    ),
    Term(
        ("evaluation",),
        r"\text{one forward pass, one example}",
        "the currency of cost: counted off the traced program",
    ),
)


def as_table() -> str:
    """The glossary as a Markdown table."""
    lines = ["| term | formula | meaning |", "|---|---|---|"]
    for term in TERMS:
        names = ", ".join(f"`{name}`" if name.isidentifier() else f"**{name}**" for name in term.names)
        lines.append(f"| {names} | ${term.formula}$ | {term.meaning} |")
    return "\n".join(lines)
