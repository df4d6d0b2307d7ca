"""What Prometheus sees: the metric table, the collector behind it, and the HTTP server.

Nothing is counted here: at each scrape the collector reads what the runs know, so an idle daemon
costs nothing and a slow scraper slows nobody. No other room imports `prometheus_client`. This room
may ask `rheostat.runs` for records and `rheostat.door` who calls; the service itself is handed in
as a `RunSource`.
"""
