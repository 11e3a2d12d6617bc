"""What the imports at the top of a project's files load, and how long that takes."""

from __future__ import annotations

import builtins
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celeriac.contract.places import Place

#: An import that takes longer is reported.
SLOW = timedelta(milliseconds=300)

#: Libraries that take long to import, use much memory, or are not in a Lambda of the API.
HEAVY = frozenset(
    {
        "PIL",
        "cv2",
        "dask",
        "django",
        "duckdb",
        "googleapiclient",
        "jax",
        "matplotlib",
        "nltk",
        "numpy",
        "openai",
        "openpyxl",
        "pandas",
        "playwright",
        "plotly",
        "polars",
        "pyarrow",
        "pyspark",
        "reportlab",
        "scipy",
        "selenium",
        "skimage",
        "sklearn",
        "spacy",
        "tensorflow",
        "torch",
        "transformers",
        "weasyprint",
        "xlsxwriter",
    }
)

#: Libraries that the API and workers load anyway.
LOADED_ANYWAY = frozenset(
    {"boto3", "botocore", "celery", "celeriac", "fastapi", "kombu", "pydantic"}
)


@dataclass(frozen=True)
class Import:
    """An import statement in one of the project's files, and what it cost when it was executed."""

    place: Place
    module: str
    took: timedelta
    #: The heavy library that it loaded first, if any.
    heavy: str | None


@contextmanager
def recorded(owned: Callable[[str], bool]) -> Iterator[list[Import]]:
    """Record the import statements of certain modules while they are executed.

    ``owned`` tells by its name whether a module is the project's own. A statement that imports
    one of those counts for nothing itself: the statements inside that module do.
    """
    found: list[Import] = []
    plain = builtins.__import__

    def importing(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        importer = (globals or {}).get("__name__", "")
        top = name.partition(".")[0]
        if level or not owned(importer) or owned(name) or top in LOADED_ANYWAY:
            return plain(name, globals, locals, fromlist, level)
        place = Place.of_caller(inspect.currentframe())
        before = HEAVY & sys.modules.keys()
        started = time.perf_counter()
        try:
            return plain(name, globals, locals, fromlist, level)
        finally:
            took = timedelta(seconds=time.perf_counter() - started)
            loaded = sorted((HEAVY & sys.modules.keys()) - before, key=[*sys.modules].index)
            heavy = top if top in loaded else next(iter(loaded), None)
            found.append(Import(place, name, took, heavy))

    builtins.__import__ = importing
    try:
        yield found
    finally:
        builtins.__import__ = plain
