"""How are a machine and its containers doing? Read by the probe's program, judged by pure rules; nothing here knows Django."""
