"""How fast models draw: one model on each engine, and the zoo's own table against naive generation and other libraries.

| module | |
|---|---|
| `engines` | one model, engine by engine: `ar-zoo bench` |
| `cases` | what `tools/benchmark.py` measures, and the bars that must be met |
| `naive` | cached generation against one `call` a site, with the symbols compared |
| `peers` | other libraries, each in a process, and if need be a Python, of its own |
| `compare` | a case, measured in all these ways, and held to its bars |
| `report` | tables and plots |
"""

from ar_zoo.bench.engines import bench
from ar_zoo.bench.report import plot, table

__all__ = ["bench", "plot", "table"]
