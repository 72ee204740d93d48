"""Is our own trouble ever taken for a client's? Regions in network namespaces, with real probes and a real portal."""
