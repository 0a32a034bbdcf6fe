"""Networking for `asap_proto`: choose `asap_adapters.asyncio`, `asap_adapters.trio` or `asap_adapters.sync`."""
