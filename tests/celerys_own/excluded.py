"""The tests of Celery's suite that can't hold here, each with its reason.

``EMBEDDED`` are those that look into the worker from the test's process. They are run once more,
with a worker in that process.
"""

from __future__ import annotations

ELSEWHERE = "runs with the worker in a process of its own"
EMBEDDED_ONLY = "looks into the worker from the test's process: runs with the worker embedded"
FORGETS = "revokes a stamp, and clears the memory of its own process to take that back"
REDIS = "tests Celery's Redis backend itself"
ONE_TASK = "sends the same task id twice: here an id is one task, which runs once"
EAGER_HEADER = "a chord's header is kept before its first member is sent, so it is unrolled first"
PRETENDED = "writes a state for a task that was never sent; here a state belongs to a record"
RACE = "clears what its signal's handler says after it has sent: an embedded worker is faster"
AMQP = "publishes a signal's own arguments once more, which aren't JSON"
NO_ADD = "Task.add_to_chord: of Celery's backends only Redis has it"

EMBEDDED: frozenset[str] = frozenset(
    {
        "test_disconnect_leaves_other_instance_connected",
        "test_each_instance_receives",
        "test_err_linking_stamped_sig",
        "test_linking_stamped_sig",
        "test_other_instance_receives_after_garbage_collection",
        "test_replaced_task_nesting_chain",
        "test_replaced_task_nesting_level_1",
        "test_retry_preserves_ignore_result_false",
        "test_retry_preserves_ignore_result_true",
        "test_send_task_without_ignore_result_stores_result",
        "test_send_task_without_ignore_result_uses_task_ignore_result",
        "test_task_failed",
        "test_task_received_has_access_to_stamps",
        "test_task_success",
    }
)

EXCLUDED: dict[str, str] = {
    # test_tasks.py
    "test_revoke_keeps_state_of_task_started_elsewhere": PRETENDED,
    "test_revoked_by_headers_simple_canvas": FORGETS,
    "test_replaced_task_nesting_level_0": RACE,
    # test_canvas.py
    "test_chord_header_id_duplicated_on_rabbitmq_msg_duplication": AMQP,
    "test_reapplying_frozen_chord_dispatches_body_again": ONE_TASK,
    "test_add_to_chord": NO_ADD,
    "test_add_chord_to_chord": NO_ADD,
    "test_generator": EAGER_HEADER,
    "test_chord_on_error": REDIS,
}
