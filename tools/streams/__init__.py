"""Parts of `stad live`: sessions, latency, the local page, recordings and events as they happen."""
