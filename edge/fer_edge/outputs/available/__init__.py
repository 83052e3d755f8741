"""The outputs that can be asked for: one module each, with its ``OUTPUT`` record.

A new one is one new file here, for example ``count.py``::

    from pathlib import Path

    from fer_edge.outputs.output import OutputSpec, option


    class Count:
        name = "count"
        lossless = True

        def __init__(self, path):
            self.path, self.n = path, 0

        def write(self, result):
            self.n += len(result.faces)

        def close(self):
            self.path.write_text(str(self.n))


    OUTPUT = OutputSpec(
        name="count",
        options=(option("--count", metavar="FILE", help="write the number of faces"),),
        open=lambda wanted: Count(Path(wanted.arguments.count)),
        writes_file=True,
    )

The command line, the configuration file, ``--help`` and the check for files written twice read that record. What an
output gets and when: :class:`fer_edge.outputs.base.Output`.
"""

from __future__ import annotations

import functools

from fer_edge.outputs.output import OutputSpec
from fer_edge.registry import find_records

__all__ = ["outputs"]


@functools.cache
def outputs() -> dict[str, OutputSpec]:
    """All outputs by name, in the order in which they are opened; loads none of them.

    Returns:
        ``{name: specification}``.

    Raises:
        FerError: a module of this package holds no specification, or two have one name.
    """
    return find_records(__name__, "OUTPUT", OutputSpec)
