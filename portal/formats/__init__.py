"""How are dates and times written where no page says otherwise? Django looks for a module per language here."""
