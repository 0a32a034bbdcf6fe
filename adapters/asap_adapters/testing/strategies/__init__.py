"""Hypothesis strategies for every noun of the protocol, for what carries them, and for JSON that nearly is one.

A property of an agent looks so::

    from asap_adapters.testing import strategies as asap

    @given(asap.envelopes(payload=asap.task_requests(skill_id="count")))
    def test_my_agent(envelope): ...

There is one for each noun, called as the noun is, in the plural. It takes the noun's fields by name, each as a value or
as a strategy; those not given are drawn. Everything that is drawn survives the wire: texts hold no lone surrogates,
integers fit 64 bits, floats are finite, ids are as long as they may be, and free objects nest as deep as a request has
room for. What `asap_adapters.testing.misses` draws is one step from that, on the other side.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis.strategies import SearchStrategy

from . import _nouns
from ._disturbed import disturbed
from ._frames import errors, rpc_answers, rpc_batches, rpc_errors, rpc_ids, rpc_notifications, rpc_requests
from ._http import headers, http_requests, http_responses, request_heads
from ._nouns import (
    agents,
    artifact_notifies,
    artifacts,
    auth_schemes,
    capabilities,
    conversations,
    data_parts,
    endpoints,
    envelopes,
    file_parts,
    manifests,
    mcp_resource_datas,
    mcp_resource_fetches,
    mcp_tool_calls,
    mcp_tool_results,
    message_sends,
    messages,
    nouns,
    parts,
    payloads,
    plain,
    resource_parts,
    skills,
    state_queries,
    state_restores,
    state_snapshots,
    task_cancels,
    task_requests,
    task_responses,
    task_updates,
    tasks,
    template_parts,
    text_parts,
)
from ._values import (
    ids,
    json_objects,
    json_values,
    message_roles,
    stamp_texts,
    stamps,
    task_statuses,
    texts,
    ulids,
    update_types,
    urns,
)

__all__ = [
    "NOUNS",
    "agents",
    "artifact_notifies",
    "artifacts",
    "auth_schemes",
    "capabilities",
    "conversations",
    "data_parts",
    "disturbed",
    "endpoints",
    "envelopes",
    "errors",
    "file_parts",
    "headers",
    "http_requests",
    "http_responses",
    "ids",
    "json_objects",
    "json_values",
    "manifests",
    "mcp_resource_datas",
    "mcp_resource_fetches",
    "mcp_tool_calls",
    "mcp_tool_results",
    "message_roles",
    "message_sends",
    "messages",
    "nouns",
    "parts",
    "payloads",
    "plain",
    "request_heads",
    "resource_parts",
    "rpc_answers",
    "rpc_batches",
    "rpc_errors",
    "rpc_ids",
    "rpc_notifications",
    "rpc_requests",
    "skills",
    "stamp_texts",
    "stamps",
    "state_queries",
    "state_restores",
    "state_snapshots",
    "task_cancels",
    "task_requests",
    "task_responses",
    "task_statuses",
    "task_updates",
    "tasks",
    "template_parts",
    "text_parts",
    "texts",
    "ulids",
    "update_types",
    "urns",
]

#: The strategies of the nouns, each by its class.
NOUNS: Mapping[type[Any], Callable[..., SearchStrategy[Any]]] = _nouns.NOUNS
