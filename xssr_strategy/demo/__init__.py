"""``xssr demo``: the whole way on simulated scans, played over the REST interface of a real server."""
