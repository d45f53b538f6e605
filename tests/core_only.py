"""A script for an environment that holds the wheel and its core dependencies: `make core` runs it there."""

import importlib.util

OPTIONAL = ("IPython", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torch", "typer")


def main() -> None:
    installed = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    assert not installed, f"this environment is to have the core alone, and holds {installed}"

    import chainrule as cr
    from chainrule import losses, nn, optim

    slopes = cr.grad(lambda x, y, z: (x + y) * z)(-2.0, 5.0, -4.0)
    assert [float(slope) for slope in slopes] == [-4.0, -4.0, 3.0], slopes

    x, t = cr.datasets.two_gaussians(1000, seed=0)
    net = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))
    history = cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=2000, batch_size=1, record_every=500, seed=0)
    recorded = list(history.loss)
    assert len(recorded) == 4, recorded
    assert recorded[-1] < 0.5 * recorded[0], recorded

    try:
        cr.plot.convergence(history)
    except cr.errors.MissingExtraError as error:
        assert "chainrule[plot]" in str(error), error
    else:
        raise AssertionError("a plot without matplotlib is to be refused, naming the extra")
    print(f"core alone: loss {recorded[0]:.4g} -> {recorded[-1]:.4g}; not installed: {', '.join(OPTIONAL)}")


if __name__ == "__main__":
    main()
