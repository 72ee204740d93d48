"""How does anything here reach the network? Only through these modules: guard (may it?), resolver (where?), http (ask)."""
