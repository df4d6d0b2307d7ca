"""The page: what the runs do and how they are steered, for a browser.

JSON over HTTP for the page's own scripts, a stream of news for each run that somebody looks at,
and the files of the page. It asks `runs.service` as `api` does, and of callers it takes what the
RPC takes that does the same (`door.permissions`). What scripts may rely on is the gRPC API; the
JSON here is for the page that comes with it. Long runs are folded into sketches, so that a browser
gets thousands of points where there are millions of steps.
"""
