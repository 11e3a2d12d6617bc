from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from celeriac.testing.context import FakeContext
from tasks.files.metadata import FileMetadata
from tasks.process_file import ProcessedFile, ProcessFile, process_file

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass
class Run:
    """What became of one file."""

    result: ProcessedFile
    context: FakeContext

    @property
    def metadata(self) -> FileMetadata:
        assert self.result.metadata is not None
        return self.result.metadata

    @property
    def content(self) -> bytes:
        """The bytes of the only artifact."""
        (artifact,) = self.result.artifacts
        return self.context.artifacts[artifact.name].content

    def image(self) -> Any:
        from PIL import Image

        image = Image.open(BytesIO(self.content))
        image.load()
        return image


class ApartContext(FakeContext):
    """Fetches each file into a directory of its own, as a worker's context may."""

    def read_artifact(self, key: str) -> Path:
        fetched = super().read_artifact(key)
        apart = Path(mkdtemp(dir=self.workdir)) / fetched.name
        return fetched.rename(apart)


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    workdir = tmp_path / "work"
    workdir.mkdir()
    return ApartContext(workdir)


@pytest.fixture
def process(context: FakeContext, tmp_path: Path) -> Callable[..., Run]:
    """Process a fixture by its name, or any content under a name, with these operations."""

    def run(
        name: str,
        content: bytes | str | None = None,
        *,
        encoding: str | None = None,
        **operations: Any,
    ) -> Run:
        if content is None:
            content = (FIXTURES / name).read_bytes()
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        key = f"files/1/{name}"
        context.files[key] = path
        payload = {"file_key": key, "operations": operations, "encoding": encoding}
        return Run(process_file(ProcessFile.model_validate(payload), context), context)

    return run
