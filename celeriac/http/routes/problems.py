"""/problems explains each problem type. A problem's ``type`` leads here."""

from __future__ import annotations

from pydantic import BaseModel

from celeriac.http.links import at
from celeriac.http.problems import Problem, ProblemType, documented
from celeriac.http.route import open_router

router = open_router("problems")


class ProblemTypeView(BaseModel):
    """A kind of problem."""

    type: str
    title: str
    status: int
    remedy: str


class ProblemTypePage(BaseModel):
    """All kinds of problem."""

    data: list[ProblemTypeView]
    next_cursor: None = None


@router.get("/problems", operation_id="list-problems", summary="List the kinds of problem")
async def list_problems() -> ProblemTypePage:
    """All problem types that this API answers with. Needs no key."""
    return ProblemTypePage(data=[_view(each) for each in ProblemType])


@router.get(
    "/problems/{slug}",
    operation_id="get-problem",
    summary="Say what a kind of problem means",
    responses=documented(ProblemType.NOT_FOUND, ProblemType.INVALID),
)
async def get_problem(slug: str) -> ProblemTypeView:
    """One problem type. Needs no key."""
    for each in ProblemType:
        if each.slug == slug:
            return _view(each)
    raise Problem(
        ProblemType.NOT_FOUND, f"There is no problem type {slug!r}. See {at('/problems')}."
    )


def _view(type: ProblemType) -> ProblemTypeView:
    return ProblemTypeView(type=type.uri, title=type.title, status=type.status, remedy=type.remedy)
