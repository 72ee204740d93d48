"""Does a verdict name the true cause? A small internet in namespaces, labelled faults in it, and the real product on top."""
