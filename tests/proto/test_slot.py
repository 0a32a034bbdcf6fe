"""The reply slot."""

from asap_proto.rules.slot import Busy, Kept, Reused, look


def test_busy_then_kept():
    """A request that comes again finds that it is running, then its reply, and which task it was."""
    assert look("task_1", None, known=b"digest", digest=b"digest") == Busy("task_1")
    assert look("task_1", b"reply", known=b"digest", digest=b"digest") == Kept("task_1", b"reply")


def test_an_empty_reply_is_a_reply():
    """Nothing to say is not the same as not having said it."""
    assert look("task_1", b"", known=b"digest", digest=b"digest") == Kept("task_1", b"")


def test_one_key_can_not_fetch_another_requests_reply():
    """A key that stands for another request answers nothing of it, whether it is running or done."""
    assert look("task_1", None, known=b"digest", digest=b"other") == Reused()
    assert look("task_1", b"reply", known=b"digest", digest=b"other") == Reused()
