"""What is remembered of one task."""

from datetime import UTC, datetime, timedelta, timezone

from asap_proto.model import Task, TaskCancel, TaskRequest, TaskStatus
from asap_proto.stores import Job
from asap_proto.stores.records import seconds_of, task_of, time_of
from asap_testkit import CALLER, NOW, letter
from asap_testkit.records import record_of


def test_times_are_unix_seconds():
    """To the microsecond, whatever the zone they were told in; they come back in UTC."""
    assert seconds_of(datetime(1970, 1, 2, tzinfo=UTC)) == 86400.0
    assert seconds_of(NOW.astimezone(timezone(timedelta(hours=-5)))) == seconds_of(NOW)
    assert time_of(seconds_of(NOW)) == NOW
    assert time_of(0.0).tzinfo is UTC


def test_a_record_as_the_task_it_is():
    """A request says its conversation and its parent; the record where the task stands."""
    request = TaskRequest("talk", "echo", {}, parent_task_id="task_0")
    job = Job(request, letter(request), "task_1", 3, CALLER, "echo", created=10.0)
    record = record_of(job, status=TaskStatus.INPUT_REQUIRED, updated=20.0, progress={"percent": 5})
    assert record.id == "task_1"
    assert task_of(record) == Task(
        "task_1", "talk", TaskStatus.INPUT_REQUIRED, time_of(10.0), time_of(20.0), "task_0", 3, {"percent": 5}
    )


def test_what_is_no_request_has_no_conversation():
    """Nor a parent: a handler of another payload runs as a task all the same."""
    cancel = TaskCancel("task_9")
    task = task_of(record_of(Job(cancel, letter(cancel), "task_1", 0, None, "task.cancel")))
    assert (task.conversation_id, task.parent_task_id, task.depth) == ("", None, 0)
