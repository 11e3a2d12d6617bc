"""The project as a whole: each task file can be imported, and declares its task rightly."""

from celeriac import catalogue


def test_every_task_type_is_declared() -> None:
    """A mistake in a task file is an error here, with the file and the fix."""
    assert "long-running" in catalogue()
