"""`watchkeeper-probe`: the portal's own checks, made somewhere else. Runs without Django and listens on nothing."""
