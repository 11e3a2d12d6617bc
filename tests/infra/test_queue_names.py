"""Two queues never share an id or a name, however much alike theirs are.

CDK leaves dashes out of a logical id, and tells paths apart by a digest of them.
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnElement, Stack
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.cdk import Sources, TaskData
from celeriac.contract import Catalogue, Queue
from celeriac.contract.queues import NAME
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from tests.infra.conftest import ROOT, STACKS, Synthesized, context, greet, shrink

#: Short names of few characters, so that many differ only in their dashes.
ALIKE = st.text("ab1-", min_size=1, max_size=5).filter(NAME.fullmatch)


def ids(names: list[str]) -> list[str]:
    """The logical ids of the queues of these names, and of their dead-letter queues."""
    stack = Stack(App(), "stack")
    catalogue = Catalogue([], [Queue(name) for name in names])
    data = TaskData(stack, environment=DEV, catalogue=catalogue, sources=Sources.of(ROOT))
    made = [
        each.node.default_child
        for pair in data.queues.values()
        for each in (pair.queue, pair.dead_letter)
    ]
    return [stack.get_logical_id(each) for each in made if isinstance(each, CfnElement)]


@settings(max_examples=20, deadline=None)
@given(st.lists(ALIKE, min_size=2, max_size=8, unique=True))
def test_queues_of_different_names_have_different_ids(names: list[str]) -> None:
    """ "a-b" and "ab" are two queues in the stack, with a dead-letter queue each."""
    found = ids(names)

    assert len(set(found)) == len(found) == 2 * (len(names) + ("default" not in names))


@settings(max_examples=20, deadline=None)
@given(ALIKE, st.lists(ALIKE, max_size=3, unique=True))
def test_an_id_depends_on_no_other_queue(name: str, others: list[str]) -> None:
    """A queue that is added or removed changes no other's id, which would empty that one."""
    assert set(ids([name])) <= set(ids([name, *(each for each in others if each != name)]))


#: Alike, named as other parts of the stacks are, and named as a task type.
AWKWARD = (
    *("a-b", "ab", "a1b", "a-1b", "a-1-b", "queue", "workers", "scaling", "system", "shrink"),
    *("network", "cluster", "log", "image", "records", "artifacts", "schedule", "mail", "alarms"),
)


def test_every_part_of_a_deployment_tells_them_apart(tmp_path: Path) -> None:
    """Each queue has its own service, alarms and names in AWS, also if it is named as a part is."""
    app = App(outdir=str(tmp_path), context=context())
    compose(app, DEV, Catalogue([shrink, greet], [Queue(name) for name in AWKWARD]))
    app.synth()
    made = Synthesized(DEV, tmp_path)

    services = {each["ServiceName"] for each in made.properties("workers", "AWS::ECS::Service")}
    assert set(AWKWARD) <= services
    for type, key in {
        "AWS::SQS::Queue": "QueueName",
        "AWS::ECS::Service": "ServiceName",
        "AWS::CloudWatch::Alarm": "AlarmName",
    }.items():
        found = [each[key] for stack in STACKS for each in made.properties(stack, type)]
        assert len(found) >= len(AWKWARD)
        assert len(set(found)) == len(found)
