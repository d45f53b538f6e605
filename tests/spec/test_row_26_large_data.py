"""Row 26: rows that do not fit in memory are trained from a memory map, with bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROWS, COLUMNS = 300_000, 256  # 307 MB of float32
HEADROOM = 100 * 2**20  # what the run may allocate: a third of that
SCRIPT = f"""
import resource, sys
import numpy as np
import chainrule as cr
from chainrule import losses, nn, optim

path, engine = sys.argv[1:]
x = np.memmap(path, np.float32, "r", shape=({ROWS}, {COLUMNS}))
t = np.sign(x[:, 0] + 0.5 * x[:, 1]).reshape(-1, 1)
model = nn.Linear({COLUMNS}, 1, seed=0)
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + {HEADROOM}, used + {HEADROOM}))
try:
    np.ones({ROWS} * {COLUMNS}, np.float32)
except MemoryError:
    print("the data do not fit")
history = cr.fit(model, losses.hinge, optim.SGD(0.01), x, t, steps=3000, batch_size=32, record_every=1500,
                 validation=(x, t), engine=engine)
print(history.final < 0.3 * history.loss[0])
history = cr.fit(model, losses.hinge, optim.SGD(0.01), x, t, epochs=1, batch_size=4096, record_every=0, engine=engine)
print(history.steps_done)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set as Linux does")
def test_row_26_training_from_a_memory_map(tmp_path: Path, engine: str) -> None:
    rng = np.random.default_rng(0)
    block = rng.standard_normal((10_000, COLUMNS), np.float32)
    with open(tmp_path / "x", "wb") as file:
        for _ in range(ROWS // len(block)):
            file.write(rng.permutation(block).tobytes())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / "x"), engine], capture_output=True, text=True
    )
    (tmp_path / "x").unlink()
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[:3] == ["the data do not fit", "True", "74"], done.stdout
