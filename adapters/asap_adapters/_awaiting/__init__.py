"""The one asynchronous implementation, for asyncio and trio alike, over anyio."""
