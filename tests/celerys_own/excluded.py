"""The tests of Celery's suite that can't hold here, each with its reason."""

from __future__ import annotations

IN_PROCESS = "looks into the worker from the test's process; this worker is a process of its own"
BROADCAST = "needs a broadcast to workers, which SQS doesn't have (celeriac/control.py)"
REDIS = "tests Celery's Redis backend itself"
ONE_TASK = "sends the same task id twice: here an id is one task, which runs once"
EAGER_HEADER = "a chord's header is kept before its first member is sent, so it is unrolled first"
PRETENDED = "writes a state for a task that was never sent; here a state belongs to a record"
UNLOADABLE = "an exception that can't be made anew keeps its class and message, not its arguments"
AMQP = "publishes a signal's own arguments once more, which aren't JSON"
NO_ADD = "Task.add_to_chord: of Celery's backends only Redis has it"

EXCLUDED: dict[str, str] = {
    # test_tasks.py
    "test_send_task_without_ignore_result_uses_task_ignore_result": IN_PROCESS,
    "test_send_task_without_ignore_result_stores_result": IN_PROCESS,
    "test_retry_preserves_ignore_result_true": IN_PROCESS,
    "test_retry_preserves_ignore_result_false": IN_PROCESS,
    "test_task_success": IN_PROCESS,
    "test_task_failed": IN_PROCESS,
    "test_replaced_task_nesting_level_0": IN_PROCESS,
    "test_replaced_task_nesting_level_1": IN_PROCESS,
    "test_replaced_task_nesting_chain": IN_PROCESS,
    "test_each_instance_receives": IN_PROCESS,
    "test_disconnect_leaves_other_instance_connected": IN_PROCESS,
    "test_other_instance_receives_after_garbage_collection": IN_PROCESS,
    "test_revoke_keeps_state_of_task_started_elsewhere": PRETENDED,
    "test_revoked_by_headers_simple_canvas": BROADCAST,
    "test_revoked_by_headers_complex_canvas": BROADCAST,
    "test_revoke_by_stamped_headers_no_match": BROADCAST,
    "test_retry_with_unpickleable_exception": UNLOADABLE,
    # test_canvas.py
    "test_chord_header_id_duplicated_on_rabbitmq_msg_duplication": AMQP,
    "test_reapplying_frozen_chord_dispatches_body_again": ONE_TASK,
    # Their second chord takes up a task of the first, which has ended. An errback that is sent is
    # sent again; one that is called had its call.
    "test_mutable_errback_called_by_chord_from_chain[errback_new_style]": ONE_TASK,
    "test_mutable_errback_called_by_chord_from_chain_tail[errback_new_style]": ONE_TASK,
    "test_mutable_errback_called_by_chord_from_group[errback_new_style]": ONE_TASK,
    "test_add_to_chord": NO_ADD,
    "test_add_chord_to_chord": NO_ADD,
    "test_generator": EAGER_HEADER,
    "test_chord_on_error": REDIS,
    # Their handler of task_received is in the test's process. tests/unit/delivery/test_stamps.py
    # asserts what they do.
    "test_task_received_has_access_to_stamps": IN_PROCESS,
    "test_linking_stamped_sig": IN_PROCESS,
    "test_err_linking_stamped_sig": IN_PROCESS,
}
