"""The agent of the trio front."""

from .._awaiting.agent import Agent
from .._awaiting.app import App
from .._awaiting.tasks import Task, ThreadTask

__all__ = ["Agent", "App", "Task", "ThreadTask"]
