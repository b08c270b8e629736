"""`stad serve`: jobs over HTTP, their queue, the processes that run them, and the pages."""
