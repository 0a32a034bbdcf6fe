"""HTTP/1.1 as a client speaks it, without I/O: a request as bytes, bytes as an answer, and who has which connection."""
