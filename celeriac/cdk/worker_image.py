"""A worker's image, and its build context: a directory with everything its Dockerfile copies.

    Dockerfile          the project's worker/Dockerfile, or the fleet's own
    requirements.txt    its locks/worker.txt, or that of the fleet's extras, without the library
    app/                the library, the task types, the project's worker/

``python -m celeriac.cdk.worker_image DIRECTORY`` writes it, for any program that builds images.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from celeriac.cdk.sources import Sources, SourcesError
from celeriac.contract import Fleet
from celeriac.project import ProjectError

#: The build argument with the packages of Debian that a fleet asks for.
APT = "APT"
#: The secret of the build with pip's configuration, which names a private index.
PIP_SECRET = "pip"  # noqa: S105  a name


def stage(sources: Sources, directory: Path, fleet: Fleet = Fleet()) -> None:  # noqa: B008
    """Write the context into a directory, in place of what is there.

    Raises:
        SourcesError: the project lacks a lock, a Dockerfile or a package.
    """
    requirements = sources.requirements("worker", *fleet.extras)
    shutil.rmtree(directory, ignore_errors=True)
    app = directory / "app"
    app.mkdir(parents=True)
    shutil.copyfile(sources.dockerfile(fleet.dockerfile), directory / "Dockerfile")
    (directory / "requirements.txt").write_text(requirements, "utf-8")
    sources.copy_for_workers(app)


def main(arguments: list[str]) -> int:
    """The command line, in the project's directory."""
    if len(arguments) != 1:
        sys.stderr.write("Name the directory to write the image's build context into.\n")
        return 2
    try:
        stage(Sources.of(Path.cwd()), Path(arguments[0]))
    except (ProjectError, SourcesError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
